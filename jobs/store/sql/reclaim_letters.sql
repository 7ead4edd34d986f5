-- Owe again what a killed mailer left in `sending`: nobody knows whether it left, and a second letter is better than none.
--
-- $1  bigint                batch
-- $2  bigint                token of the claim
-- $3  text                  slot
-- $4  portcullis.member_id  first member of the range; null: open
-- $5  portcullis.member_id  first member behind the range; null: open
--
-- No row: the claim is stale, nothing was written.
WITH held AS MATERIALIZED (
    SELECT b.batch_id, b.run_id FROM portcullis.batch b
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
    FOR UPDATE OF b
), reclaimed AS (
    UPDATE portcullis.delivery d
    SET state = 'owed', next_at = now(), changed_at = now()
    FROM held h
    WHERE d.run_id = h.run_id AND d.slot = $3 AND d.batch_id = h.batch_id AND d.state = 'sending'
      AND ($4::portcullis.member_id IS NULL OR d.member_id >= $4::portcullis.member_id)
      AND ($5::portcullis.member_id IS NULL OR d.member_id < $5::portcullis.member_id)
    RETURNING d.member_id
)
UPDATE portcullis.batch b
SET sending = b.sending - counted.letters, owed = b.owed + counted.letters
FROM held h CROSS JOIN (SELECT count(*) AS letters FROM reclaimed) counted
WHERE b.batch_id = h.batch_id
RETURNING counted.letters
