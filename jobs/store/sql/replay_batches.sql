-- Try dead batches again, from the first attempt on. The token stays: as after a lease that ran out, the next claim shuts out whoever had
-- the last one, and what letters were begun under it is known by it.
--
-- $1  bigint   batch; null: any
-- $2  bigint   run; null: any
-- $3  text     fingerprint; null: any
-- $4  text     why, in words; goes in front of the error
-- $5  integer  batches at most, the oldest first
--
-- No row: none of them is dead, or their run is over.
WITH wanted AS MATERIALIZED (
    SELECT b.batch_id, r.run_id
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    JOIN portcullis.policy p ON p.organization_id = r.organization_id
    WHERE b.state = 'dead'
      AND ($1::bigint IS NULL OR b.batch_id = $1::bigint)
      AND ($2::bigint IS NULL OR b.run_id = $2::bigint)
      AND ($3::text IS NULL OR b.fingerprint = $3::text)
      AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)
    ORDER BY b.batch_id LIMIT $5::integer
    FOR UPDATE OF r, b
), seen AS (
    -- A conductor looks at runs with something open only.
    UPDATE portcullis.run r SET has_open_batches = true FROM wanted w WHERE r.run_id = w.run_id
)
UPDATE portcullis.batch b
SET state = 'open', attempts = 0, next_at = now(), hinted_at = NULL, hints = 0, leased_until = NULL, holder = NULL, done_at = NULL,
    error = format('replayed (%s) after: %s', $4::text, portcullis.bare_error(b.error))
FROM wanted w
WHERE b.batch_id = w.batch_id
RETURNING b.batch_id, b.run_id, b.stage, pg_notify('portcullis', '') IS NULL AS is_told
