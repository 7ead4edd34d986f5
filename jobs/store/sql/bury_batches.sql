-- Put aside, for a human, what failed too often. Only under a batch nobody holds.
--
-- $1  integer  attempts after which a batch is not tried again
UPDATE portcullis.batch b
SET state = 'dead', leased_until = NULL, done_at = clock_timestamp(),
    error = coalesce(b.error, format('its worker ended without a word %s times, last %s', b.attempts, b.holder))
WHERE b.state = 'open' AND b.attempts >= $1::integer AND (b.leased_until IS NULL OR b.leased_until < now())
RETURNING b.run_id, b.batch_id, b.stage, b.error
