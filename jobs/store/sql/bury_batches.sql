-- Put aside, for a human, what failed too often. Only batches that nobody holds, or works on at this moment.
--
-- $1  integer  attempts after which a batch is not tried again
WITH spent AS MATERIALIZED (
    SELECT b.batch_id FROM portcullis.batch b
    WHERE b.state = 'open' AND b.attempts >= $1::integer AND (b.leased_until IS NULL OR b.leased_until < now())
    FOR UPDATE OF b SKIP LOCKED
)
UPDATE portcullis.batch b
SET state = 'dead', leased_until = NULL, done_at = clock_timestamp(),
    error = coalesce(b.error, format('its worker ended without a word %s times, last %s', b.attempts, b.holder))
FROM spent s
WHERE b.batch_id = s.batch_id
RETURNING b.run_id, b.batch_id, b.stage, b.error
