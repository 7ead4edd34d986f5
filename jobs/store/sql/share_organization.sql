-- Hold off a lift or cancel of the organization until this transaction ends. A statement of its own, before the one that looks.
--
-- $1  portcullis.organization_id  organization
SELECT pg_advisory_xact_lock_shared(portcullis.lock_key('enforce', $1::portcullis.organization_id))
