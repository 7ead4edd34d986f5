-- Members for whom a run is not finished: not judged yet, or unprotected with a live session. In order of their ids.
--
-- $1  bigint                      run
-- $2  portcullis.organization_id  organization
-- $3  text[]                      kinds that the policy exempts
-- $4  integer                     rows at most
SELECT m.user_id
FROM directory.member m
LEFT JOIN portcullis.delivery d ON d.run_id = $1 AND d.slot = 'notice' AND d.member_id = m.user_id
WHERE m.organization_id = $2::portcullis.organization_id
  AND NOT EXISTS (SELECT FROM portcullis.joiner g
                  WHERE g.organization_id = $2::portcullis.organization_id AND g.user_id = m.user_id AND g.ends_at > now())
  AND (d.member_id IS NULL
       OR (portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, $3::text[]) = 'unprotected'
           AND m.user_id IN (
               SELECT s.user_id FROM directory.session s
               WHERE (s.organization_id IS NULL OR s.organization_id = $2::portcullis.organization_id) AND s.started_with IS DISTINCT FROM 'sso')))
ORDER BY m.user_id LIMIT $4::integer
