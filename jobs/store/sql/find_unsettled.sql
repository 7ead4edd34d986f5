-- Cancelled batches of a run whose letters are not settled yet.
--
-- $1  bigint  run
SELECT b.batch_id, b.stage, b.low, b.high, greatest(b.leased_until - now(), interval '0') AS lease_left
FROM portcullis.batch b
WHERE b.run_id = $1 AND b.state = 'cancelled' AND b.done_at IS NULL
ORDER BY b.batch_id
