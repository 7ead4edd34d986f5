-- What a sign-in asks about one user in all organizations, as `portcullis.sign_in_requirement` does: for its plan.
--
-- $1  portcullis.member_id  member
SELECT m.organization_id, portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, '{}')
FROM directory.member m
WHERE m.user_id = $1::portcullis.member_id
