-- What an organization requires now.
--
-- $1  portcullis.organization_id  organization
--
-- No row: it never required anything.
SELECT p.required, p.epoch, p.exempt_kinds, p.changed_by, p.reason, p.changed_at, r.run_id
FROM portcullis.policy p
LEFT JOIN portcullis.run r ON r.organization_id = p.organization_id AND r.epoch = p.epoch
WHERE p.organization_id = $1::portcullis.organization_id
