-- Organizations that require a second factor and with which a user, as they stand now, would not comply.
--
-- $1  portcullis.member_id  user
SELECT m.organization_id
FROM directory.member m
JOIN portcullis.policy p ON p.organization_id = m.organization_id AND p.required
WHERE m.user_id = $1::portcullis.member_id
  AND portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, p.exempt_kinds) = 'unprotected'
ORDER BY m.organization_id
