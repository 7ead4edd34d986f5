-- Whether a user is a member of an organization.
--
-- $1  portcullis.organization_id  organization
-- $2  portcullis.member_id        user
SELECT EXISTS (
    SELECT FROM directory.member m
    WHERE m.organization_id = $1::portcullis.organization_id AND m.user_id = $2::portcullis.member_id) AS is_member
