-- Whether the main app knows an organization.
--
-- $1  portcullis.organization_id  organization
SELECT EXISTS (SELECT FROM directory.organization o WHERE o.organization_id = $1::portcullis.organization_id) AS is_known
