-- Move letters that the recipients' side has deferred into a batch of their own, which does not hold the run.
--
-- $1  bigint                batch
-- $2  bigint                token of the claim
-- $3  bigint                run
-- $4  portcullis.member_id  first member of the range; null: open
-- $5  portcullis.member_id  first member behind the range; null: open
--
-- No row: the claim is stale, or nothing is deferred.
WITH held AS MATERIALIZED (
    SELECT b.batch_id FROM portcullis.batch b
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open' AND b.stage = 'notice' AND b.deferred > 0
    FOR UPDATE OF b
), number AS MATERIALIZED (
    SELECT nextval('portcullis.batch_batch_id_seq') AS batch_id FROM held
), moved AS (
    UPDATE portcullis.delivery d SET batch_id = n.batch_id
    FROM number n
    WHERE d.run_id = $3 AND d.slot = 'notice' AND d.batch_id = $1 AND d.state = 'deferred'
      AND ($4::portcullis.member_id IS NULL OR d.member_id >= $4::portcullis.member_id)
      AND ($5::portcullis.member_id IS NULL OR d.member_id < $5::portcullis.member_id)
    RETURNING d.next_at
), parted AS (
    INSERT INTO portcullis.batch (batch_id, run_id, stage, urgency, low, high, deferred, next_at)
    SELECT n.batch_id, $3, 'deferred', 7, $4::portcullis.member_id, $5::portcullis.member_id, count(*), min(m.next_at)
    FROM number n CROSS JOIN moved m GROUP BY n.batch_id
    RETURNING batch_id, deferred
)
UPDATE portcullis.batch b SET deferred = b.deferred - p.deferred
FROM held h CROSS JOIN parted p
WHERE b.batch_id = h.batch_id
RETURNING p.deferred, p.batch_id
