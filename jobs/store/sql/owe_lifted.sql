-- Owe a `lifted` letter to everybody of a range who got, or may have got, `signed_out`.
--
-- $1  bigint                batch
-- $2  bigint                token of the claim
-- $3  bigint                run
-- $4  portcullis.member_id  first member of the range; null: open
-- $5  portcullis.member_id  first member behind the range; null: open
--
-- No row: the claim is stale, nothing was written. Rows that are there already are left alone, so that a second call adds nothing.
WITH held AS MATERIALIZED (
    SELECT b.batch_id FROM portcullis.batch b
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
    FOR UPDATE OF b
), added AS (
    INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state, letter)
    SELECT $3, 'lifted', d.member_id, h.batch_id, d.verdict, 'owed', 'lifted'
    FROM held h
    JOIN portcullis.delivery d ON d.run_id = $3 AND d.slot = 'notice' AND d.letter = 'signed_out'
    WHERE d.state IN ('accepted', 'uncertain')
      AND ($4::portcullis.member_id IS NULL OR d.member_id >= $4::portcullis.member_id)
      AND ($5::portcullis.member_id IS NULL OR d.member_id < $5::portcullis.member_id)
    ON CONFLICT DO NOTHING
    RETURNING member_id
)
UPDATE portcullis.batch b SET owed = b.owed + counted.letters
FROM held h CROSS JOIN (SELECT count(*) AS letters FROM added) counted
WHERE b.batch_id = h.batch_id
RETURNING counted.letters
