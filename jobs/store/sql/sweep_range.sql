-- Open one more batch to enforce, from a member on, of a bounded number of members.
--
-- $1  bigint                      batch of the finish
-- $2  bigint                      token of the claim
-- $3  portcullis.organization_id  organization
-- $4  portcullis.member_id[]      members that need it, in order; the range begins with the first one
-- $5  integer                     members of the organization that the range may have at most
--
-- Returns how many of the given members it covers: ids are compared here and nowhere else, because a text's order is the database's.
-- No row: the claim is stale or the run is over or paused, nothing was written.
WITH range AS MATERIALIZED (
    SELECT ($4::portcullis.member_id[])[1] AS low,
           (SELECT m.user_id FROM directory.member m
            WHERE m.organization_id = $3::portcullis.organization_id AND m.user_id >= ($4::portcullis.member_id[])[1]
            ORDER BY m.user_id OFFSET $5::integer LIMIT 1) AS high
), written AS (
    INSERT INTO portcullis.batch (run_id, stage, urgency, low, high)
    SELECT b.run_id, 'enforce', 1, g.low, g.high
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    CROSS JOIN range g
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open' AND r.state = 'running'
      AND NOT portcullis.is_paused(r.run_id, r.organization_id, b.queue)
    FOR UPDATE OF b
    RETURNING high
)
SELECT (SELECT count(*) FROM unnest($4::portcullis.member_id[]) AS given (member) WHERE w.high IS NULL OR given.member < w.high) AS members
FROM written w
