-- Open one more batch to enforce, from a member on, of a bounded number of members.
--
-- $1  bigint                      batch of the finish
-- $2  bigint                      token of the claim
-- $3  portcullis.organization_id  organization
-- $4  portcullis.member_id        first member
-- $5  integer                     members at most
--
-- Returns where the range ends (null: open). No row: the claim is stale or the run is over, nothing was written.
INSERT INTO portcullis.batch (run_id, stage, urgency, low, high)
SELECT b.run_id, 'enforce', 1, $4::portcullis.member_id,
       (SELECT m.user_id FROM directory.member m WHERE m.organization_id = $3::portcullis.organization_id AND m.user_id >= $4::portcullis.member_id
        ORDER BY m.user_id OFFSET $5::integer LIMIT 1)
FROM portcullis.batch b
JOIN portcullis.run r ON r.run_id = b.run_id
WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open' AND r.state = 'running'
FOR UPDATE OF b
RETURNING high
