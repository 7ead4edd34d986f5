-- Try dead batches again, from the first attempt on. The token stays: as after a lease that ran out, the next claim shuts out whoever had
-- the last one, and what letters were begun under it is known by it.
--
-- $1  bigint  batch; null: those of the run
-- $2  bigint  run; null: that batch
-- $3  text    why, in words; goes in front of the error
--
-- No row: none of them is dead, or their run is over.
WITH wanted AS MATERIALIZED (
    SELECT b.batch_id, r.run_id
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    JOIN portcullis.policy p ON p.organization_id = r.organization_id
    WHERE b.state = 'dead' AND (b.batch_id = $1 OR b.run_id = $2)
      AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)
    ORDER BY b.batch_id
    FOR UPDATE OF r, b
), seen AS (
    -- A conductor looks at runs with something open only.
    UPDATE portcullis.run r SET has_open_batches = true FROM wanted w WHERE r.run_id = w.run_id
)
UPDATE portcullis.batch b
SET state = 'open', attempts = 0, next_at = now(), hinted_at = NULL, hints = 0, leased_until = NULL, holder = NULL, done_at = NULL,
    error = format('replayed (%s) after: %s', $3::text, b.error)
FROM wanted w
WHERE b.batch_id = w.batch_id
RETURNING b.batch_id, b.run_id, b.stage, pg_notify('portcullis', '') IS NULL AS is_told
