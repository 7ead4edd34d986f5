-- Who a user is in each of their organizations, what is required there, and what the verdict on them would be now.
--
-- $1  portcullis.member_id  user
SELECT m.organization_id::text AS organization_id, o.name AS organization_name, m.email, m.kind::text AS kind, m.is_active, m.has_password,
       m.has_sso, m.has_second_factor, coalesce(p.required, false) AS required, p.epoch, p.changed_at, p.effective_at, j.ends_at AS grace_until,
       portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, coalesce(p.exempt_kinds, '{}')) AS verdict,
       coalesce(m.kind::text = ANY (p.exempt_kinds), false) AS is_exempt_kind
FROM directory.member m
LEFT JOIN directory.organization o ON o.organization_id = m.organization_id
LEFT JOIN portcullis.policy p ON p.organization_id = m.organization_id
LEFT JOIN portcullis.joiner j ON j.organization_id = m.organization_id AND j.user_id = m.user_id
WHERE m.user_id = $1::portcullis.member_id
ORDER BY m.organization_id LIMIT 50
