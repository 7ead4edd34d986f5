-- Close a run, once: every batch is done, so every letter is out or can't be. Owes the admin a report.
--
-- $1  bigint  batch of the finish
-- $2  bigint  token of the claim
-- $3  jsonb   totals, as the report will state them
--
-- No row: the claim is stale, the run is over or paused, or something is open again; nothing was written.
WITH held AS MATERIALIZED (
    SELECT b.batch_id, r.run_id, r.requested_by
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    JOIN portcullis.policy p ON p.organization_id = r.organization_id
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
      AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)
      AND NOT portcullis.is_paused(r.run_id, r.organization_id, b.queue)
      AND NOT EXISTS (SELECT FROM portcullis.batch o
                      WHERE o.run_id = r.run_id AND o.state IN ('open', 'dead') AND o.stage IN ('plan', 'enforce', 'notice', 'settle'))
    FOR UPDATE OF r, b
), closed AS (
    UPDATE portcullis.run r SET state = 'done', finished_at = now(), totals = $3
    FROM held h WHERE r.run_id = h.run_id
), number AS MATERIALIZED (
    SELECT nextval('portcullis.batch_batch_id_seq') AS batch_id FROM held
    WHERE requested_by IS NOT NULL  -- who was erased meanwhile gets no report
), report AS (
    INSERT INTO portcullis.batch (batch_id, run_id, stage, urgency, owed)
    SELECT n.batch_id, h.run_id, 'report', 8, 1 FROM held h CROSS JOIN number n
), owed AS (
    INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state, letter)
    SELECT h.run_id, 'report', h.requested_by, n.batch_id, 'protected', 'owed', 'report' FROM held h CROSS JOIN number n
)
UPDATE portcullis.batch b SET state = 'done', done_at = clock_timestamp(), leased_until = NULL, error = NULL
FROM held h WHERE b.batch_id = h.batch_id
RETURNING b.run_id, pg_notify('portcullis', '') IS NULL AS is_told
