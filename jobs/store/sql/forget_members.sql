-- Remove rows of members of one run that ended long ago, a bounded number.
--
-- $1  interval  how long ago
-- $2  integer   rows at most
--
-- No row: nothing is old enough, or somebody else removes.
SELECT f.run_id, f.removed, f.is_through FROM portcullis.forget_members($1, $2) f
