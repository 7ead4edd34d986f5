-- Ask again whether a run's purpose is fulfilled: nobody unprotected has a live session, everybody was judged.
--
-- $1  bigint                      run
-- $2  portcullis.organization_id  organization
--
-- No row: there is no such run.
SELECT now() AS asked_at, r.state, r.epoch, r.finished_at, p.required AND p.epoch = r.epoch AS is_standing, r.forgotten_at,
       a.subject AS requested_by,
       (SELECT count(*)
        FROM directory.session s
        JOIN directory.member m ON m.user_id = s.user_id AND m.organization_id = $2::portcullis.organization_id
        WHERE (s.organization_id IS NULL OR s.organization_id = $2::portcullis.organization_id)
          AND s.started_with IS DISTINCT FROM 'sso'
          AND portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, p.exempt_kinds) = 'unprotected'
          AND NOT EXISTS (SELECT FROM portcullis.joiner g
                          WHERE g.organization_id = $2::portcullis.organization_id AND g.user_id = m.user_id AND g.ends_at > now())
       ) AS unprotected_sessions,
       CASE WHEN r.forgotten_at IS NULL THEN
           (SELECT count(*) FROM directory.member m
            WHERE m.organization_id = $2::portcullis.organization_id
              AND NOT EXISTS (SELECT FROM portcullis.delivery d
                              WHERE d.run_id = $1 AND d.slot = 'notice' AND d.member_id = m.user_id)
              AND NOT EXISTS (SELECT FROM portcullis.joiner g
                              WHERE g.organization_id = $2::portcullis.organization_id AND g.user_id = m.user_id AND g.ends_at > now()))
       END AS joined_since
FROM portcullis.run r
JOIN portcullis.policy p ON p.organization_id = r.organization_id
LEFT JOIN portcullis.audit_person a ON a.user_id = r.requested_by
WHERE r.run_id = $1 AND r.organization_id = $2::portcullis.organization_id
