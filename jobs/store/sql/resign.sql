-- Give up the lead, so that another conductor needn't wait for the lease to run out.
--
-- $1  text  holder
UPDATE portcullis.leader SET leased_until = clock_timestamp() WHERE role = 'conductor' AND holder = $1
