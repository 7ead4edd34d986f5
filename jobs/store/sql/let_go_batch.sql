-- Give back the lease of a batch that was cancelled or paused under its holder, so that what waits for it needn't wait for the lease to run
-- out. That was no attempt.
--
-- $1  bigint  batch
-- $2  bigint  token of the claim
--
-- No row: the claim is stale, or the batch is closed.
UPDATE portcullis.batch b
SET leased_until = NULL, hinted_at = NULL, hints = 0, holder = CASE b.state WHEN 'open' THEN NULL ELSE b.holder END,
    attempts = b.attempts - CASE b.state WHEN 'open' THEN least(1, b.attempts) ELSE 0 END
WHERE b.batch_id = $1 AND b.token = $2 AND b.state IN ('open', 'cancelled')
RETURNING b.batch_id, pg_notify('portcullis', '') IS NULL AS is_told
