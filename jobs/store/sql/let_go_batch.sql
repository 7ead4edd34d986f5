-- Give back the lease of a batch that was cancelled under its holder, so that what waits for it needn't wait for the lease to run out.
--
-- $1  bigint  batch
-- $2  bigint  token of the claim
--
-- No row: the claim is stale, or the batch was not cancelled.
UPDATE portcullis.batch b SET leased_until = NULL
WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'cancelled'
RETURNING b.batch_id, pg_notify('portcullis', '') IS NULL AS is_told
