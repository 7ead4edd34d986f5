-- Whether a run was opened by the transaction that asks; false: it stood before.
--
-- $1  bigint  run
SELECT r.requested_at = now() AS is_new FROM portcullis.run r WHERE r.run_id = $1
