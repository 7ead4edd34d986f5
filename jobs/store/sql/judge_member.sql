-- What a request asks about one member of one organization, as `portcullis.gate` does: for its plan.
--
-- $1  portcullis.organization_id  organization
-- $2  portcullis.member_id        member
SELECT portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, '{}')
FROM directory.member m
WHERE m.organization_id = $1::portcullis.organization_id AND m.user_id = $2::portcullis.member_id
