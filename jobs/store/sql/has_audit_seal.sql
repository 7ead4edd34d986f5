-- Whether a chain has that seal anywhere.
--
-- $1  bigint  run
-- $2  bytea   seal
SELECT EXISTS (SELECT FROM portcullis.audit_seal s WHERE s.run_id = $1 AND s.digest = $2) AS is_there
