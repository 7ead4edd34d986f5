-- Close a batch that has nothing to count.
--
-- $1  bigint  batch
-- $2  bigint  token of the claim
--
-- No row: the claim is stale, nothing was written.
UPDATE portcullis.batch b SET state = 'done', done_at = clock_timestamp(), leased_until = NULL, error = NULL
WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
RETURNING b.batch_id, pg_notify('portcullis', '') IS NULL AS is_told
