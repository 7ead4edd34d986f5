-- Give up the letters of dead batches: the counters at once, the rows of the ledger by a settlement of their run, as after a cancel.
--
-- $1  bigint   batch; null: any
-- $2  bigint   run; null: any
-- $3  text     fingerprint; null: any
-- $4  text     why, in words; goes in front of the error
-- $5  integer  batches at most, the oldest first
-- $6  text[]   stages that can be given up
--
-- No row: none of them is dead and can be given up.
WITH given_up AS MATERIALIZED (
    SELECT b.batch_id, r.run_id, b.owed + b.deferred AS letters
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    WHERE b.state = 'dead' AND b.stage = ANY ($6::text[])
      AND ($1::bigint IS NULL OR b.batch_id = $1::bigint)
      AND ($2::bigint IS NULL OR b.run_id = $2::bigint)
      AND ($3::text IS NULL OR b.fingerprint = $3::text)
    ORDER BY b.batch_id LIMIT $5::integer
    FOR UPDATE OF r, b
), seen AS (
    UPDATE portcullis.run r SET has_open_batches = true FROM given_up g WHERE r.run_id = g.run_id
), settling AS (
    INSERT INTO portcullis.batch (run_id, stage, urgency) SELECT DISTINCT g.run_id, 'settle', 2 FROM given_up g
)
UPDATE portcullis.batch b
SET state = 'cancelled', discarded_at = now(), done_at = NULL, leased_until = NULL, cancelled = b.cancelled + b.owed + b.deferred, owed = 0,
    deferred = 0, error = format('discarded (%s) after: %s', $4::text, portcullis.bare_error(b.error))
FROM given_up g
WHERE b.batch_id = g.batch_id
RETURNING b.batch_id, b.run_id, g.letters, pg_notify('portcullis', '') IS NULL AS is_told
