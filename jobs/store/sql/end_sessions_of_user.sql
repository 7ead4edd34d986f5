-- End all sessions of one user, whatever they were started with, through every organization that they belong to.
--
-- $1  portcullis.member_id  user
SELECT coalesce(sum(e.ended), 0)::bigint AS ended
FROM (
    SELECT m.organization_id, array_agg(m.user_id) AS user_ids
    FROM directory.member m WHERE m.user_id = $1::portcullis.member_id
    GROUP BY m.organization_id ORDER BY m.organization_id
) o
CROSS JOIN LATERAL directory.end_sessions(o.organization_id, o.user_ids, false) e
