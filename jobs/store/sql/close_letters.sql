-- Close a batch of letters that has none left to send, or give it back until its next letter is due.
--
-- $1  bigint                batch
-- $2  bigint                token of the claim
-- $3  bigint                run
-- $4  text                  slot
-- $5  portcullis.member_id  first member of the range; null: open
-- $6  portcullis.member_id  first member behind the range; null: open
-- $7  interval              how long the next try must wait at least
-- $8  text                  why it waits, in words; null clears it
-- $9  boolean               whether it keeps its place in the window meanwhile
--
-- No row: the claim is stale, nothing was written.
UPDATE portcullis.batch b
SET state = CASE WHEN b.owed + b.sending + b.deferred = 0 THEN 'done' ELSE 'open' END,
    done_at = CASE WHEN b.owed + b.sending + b.deferred = 0 THEN clock_timestamp() END,
    leased_until = NULL, holder = NULL, hinted_at = NULL, hints = 0, error = $8, holds_place = $9,
    attempts = 0,
    next_at = greatest(now() + $7::interval, CASE WHEN b.owed + b.deferred = 0 THEN now() ELSE (
        SELECT min(d.next_at) FROM portcullis.delivery d
        WHERE d.run_id = $3 AND d.slot = $4 AND d.batch_id = $1 AND d.state IN ('owed', 'deferred')
          AND ($5::portcullis.member_id IS NULL OR d.member_id >= $5::portcullis.member_id)
          AND ($6::portcullis.member_id IS NULL OR d.member_id < $6::portcullis.member_id)) END)
WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
RETURNING b.state, b.owed, b.deferred,
          b.failures IS NOT NULL OR b.owed + b.deferred + b.refused + b.uncertain + b.suppressed > 0 AS may_have_failures,
          pg_notify('portcullis', '') IS NULL AS is_told
