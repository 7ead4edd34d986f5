-- Cancel the letters of one cancelled batch in the ledger; its counters were moved when it was cancelled, except for what was `sending`.
-- That was left there by a mailer that was killed: nobody knows whether it arrived, and the ledger says so.
--
-- $1  bigint                batch
-- $2  bigint                run
-- $3  text                  slot
-- $4  portcullis.member_id  first member of the range; null: open
-- $5  portcullis.member_id  first member behind the range; null: open
--
-- No row: a mailer still holds it, or it is settled.
WITH held AS MATERIALIZED (
    SELECT b.batch_id, b.discarded_at FROM portcullis.batch b
    WHERE b.batch_id = $1 AND b.state = 'cancelled' AND b.done_at IS NULL
      AND (b.sending = 0 OR b.leased_until IS NULL OR b.leased_until < now())
    FOR UPDATE OF b
), letters AS MATERIALIZED (
    SELECT d.ctid AS place, d.state
    FROM portcullis.delivery d
    WHERE EXISTS (SELECT FROM held)
      AND d.run_id = $2 AND d.slot = $3 AND d.batch_id = $1 AND d.state IN ('owed', 'deferred', 'sending')
      AND ($4::portcullis.member_id IS NULL OR d.member_id >= $4::portcullis.member_id)
      AND ($5::portcullis.member_id IS NULL OR d.member_id < $5::portcullis.member_id)
), settled AS (
    UPDATE portcullis.delivery d
    SET state = CASE l.state WHEN 'sending' THEN 'uncertain' ELSE 'cancelled' END, changed_at = now(),
        reason = CASE WHEN l.state <> 'sending' AND h.discarded_at IS NOT NULL THEN 'discarded' ELSE d.reason END
    FROM letters l CROSS JOIN held h
    WHERE d.ctid = l.place AND d.state = l.state  -- once more, as in record_letters
    RETURNING l.state AS state_before
)
UPDATE portcullis.batch b
SET done_at = clock_timestamp(), leased_until = NULL, sending = b.sending - counted.sending, uncertain = b.uncertain + counted.sending,
    token = b.token + 1, failures = CASE WHEN counted.sending = 0 THEN b.failures END
FROM held h CROSS JOIN (SELECT count(*) FILTER (WHERE state_before = 'sending') AS sending FROM settled) counted
WHERE b.batch_id = h.batch_id
RETURNING counted.sending
