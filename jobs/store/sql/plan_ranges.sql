-- Write the next ranges of a plan as batches to enforce, and how far the plan has come.
--
-- $1  bigint                    batch of the plan
-- $2  bigint                    token of the claim
-- $3  portcullis.member_id      where the first range begins; null: open
-- $4  portcullis.member_id[]    where the following ranges begin, in order
-- $5  boolean                   whether the range after the last boundary is the last one, open at its end
-- $6  interval                  lease
--
-- No row: the claim is stale or the run is over or paused, nothing was written.
WITH held AS MATERIALIZED (
    SELECT b.batch_id, b.run_id
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open' AND r.state = 'running'
      AND NOT portcullis.is_paused(r.run_id, r.organization_id, b.queue)
    FOR UPDATE OF r, b
), ranges AS (
    SELECT bounds.low, lead(bounds.low) OVER (ORDER BY bounds.place) AS high, bounds.place
    FROM (
        SELECT $3::portcullis.member_id AS low, 0 AS place
        UNION ALL
        SELECT boundary, place FROM unnest($4::portcullis.member_id[]) WITH ORDINALITY AS given (boundary, place)
    ) bounds
), written AS (
    INSERT INTO portcullis.batch (run_id, stage, urgency, low, high)
    SELECT h.run_id, 'enforce', 1, g.low, g.high FROM held h CROSS JOIN ranges g
    WHERE g.high IS NOT NULL OR $5
    ORDER BY g.place
    RETURNING batch_id
), remembered AS (
    UPDATE portcullis.run r SET planned_to = ($4::portcullis.member_id[])[cardinality($4::portcullis.member_id[])]
    FROM held h WHERE r.run_id = h.run_id AND cardinality($4::portcullis.member_id[]) > 0
)
UPDATE portcullis.batch b
SET state = CASE WHEN $5 THEN 'done' ELSE 'open' END,
    done_at = CASE WHEN $5 THEN clock_timestamp() END,
    error = NULL,
    leased_until = clock_timestamp() + $6::interval
FROM held h
WHERE b.batch_id = h.batch_id
RETURNING (SELECT count(*) FROM written) AS batches, pg_notify('portcullis', '') IS NULL AS is_told
