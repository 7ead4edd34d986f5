-- Owe again what a killed mailer left in `sending`: nobody knows whether it left, and a second letter is better than none. What its
-- recipient had deferred is deferred again, and holds no run. Each leaves an attempt, for whoever asks why a letter came twice.
--
-- $1  bigint                batch
-- $2  bigint                token of the claim
-- $3  text                  slot
-- $4  portcullis.member_id  first member of the range; null: open
-- $5  portcullis.member_id  first member behind the range; null: open
--
-- No row: the claim is stale, nothing was written.
WITH held AS MATERIALIZED (
    SELECT b.batch_id, b.run_id, CASE b.stage WHEN 'deferred' THEN 'deferred' ELSE 'owed' END AS state
    FROM portcullis.batch b
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
    FOR UPDATE OF b
), reclaimed AS (
    UPDATE portcullis.delivery d
    SET state = h.state, next_at = now(), changed_at = now()
    FROM held h
    WHERE d.run_id = h.run_id AND d.slot = $3 AND d.batch_id = h.batch_id AND d.state = 'sending'
      AND ($4::portcullis.member_id IS NULL OR d.member_id >= $4::portcullis.member_id)
      AND ($5::portcullis.member_id IS NULL OR d.member_id < $5::portcullis.member_id)
    RETURNING d.run_id, d.slot, d.member_id, d.batch_id
), kept AS (
    INSERT INTO portcullis.attempt (run_id, slot, member_id, batch_id, outcome)
    SELECT r.run_id, r.slot, r.member_id, r.batch_id, 'lost' FROM reclaimed r
)
UPDATE portcullis.batch b
SET sending = b.sending - counted.letters,
    owed = b.owed + CASE h.state WHEN 'owed' THEN counted.letters ELSE 0 END,
    deferred = b.deferred + CASE h.state WHEN 'deferred' THEN counted.letters ELSE 0 END
FROM held h CROSS JOIN (SELECT count(*) AS letters FROM reclaimed) counted
WHERE b.batch_id = h.batch_id
RETURNING counted.letters
