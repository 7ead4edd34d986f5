-- Hold off a lift or cancel of the organization until this transaction ends. A statement of its own, before the one that looks.
--
-- $1  portcullis.organization_id  organization
--
-- False: somebody switches, or waits to. Nobody waits for them here: a main app may keep its transaction open.
SELECT pg_try_advisory_xact_lock_shared(portcullis.lock_key('enforce', $1::portcullis.organization_id)) AS is_held
