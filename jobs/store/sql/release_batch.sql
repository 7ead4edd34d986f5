-- Give a batch back, to be done later.
--
-- $1  bigint    batch
-- $2  bigint    token of the claim
-- $3  interval  how long until it is due again
-- $4  boolean   whether this was an attempt; waiting for a token or a shutdown is not
-- $5  text      why, in words; null clears it
--
-- No row: the claim is stale, nothing was written.
UPDATE portcullis.batch b
SET leased_until = NULL, holder = NULL, hinted_at = NULL, hints = 0, holds_place = true, next_at = now() + $3::interval, error = $5,
    attempts = b.attempts - CASE WHEN $4 THEN 0 ELSE least(1, b.attempts) END
WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
RETURNING b.batch_id, pg_notify('portcullis', '') IS NULL AS is_told
