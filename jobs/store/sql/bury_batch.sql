-- Put one batch aside at once, because no retry can help.
--
-- $1  bigint  batch
-- $2  bigint  token of the claim
-- $3  text    why, in words
--
-- No row: the claim is stale, nothing was written.
UPDATE portcullis.batch b SET state = 'dead', leased_until = NULL, done_at = clock_timestamp(), error = $3
WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
RETURNING b.batch_id, pg_notify('portcullis', '') IS NULL AS is_told
