-- Batches that were put aside for a human, latest first, with the reason.
--
-- $1  bigint   run; null: all
-- $2  integer  batches at most
SELECT b.batch_id, b.run_id, r.organization_id, r.state AS run_state, b.stage, b.queue, b.attempts, b.done_at AS died_at, b.error,
       b.fingerprint
FROM portcullis.batch b
JOIN portcullis.run r ON r.run_id = b.run_id
WHERE b.state = 'dead' AND ($1::bigint IS NULL OR b.run_id = $1::bigint)
ORDER BY b.done_at DESC NULLS LAST, b.batch_id DESC LIMIT $2::integer
