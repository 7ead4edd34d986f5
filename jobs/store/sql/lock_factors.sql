-- Hold off sign-ins of one user, and other changes of their factors, until this transaction ends. A statement of its own, before the
-- one that looks.
--
-- $1  portcullis.member_id  user
SELECT pg_advisory_xact_lock(portcullis.factor_lock_key($1::portcullis.member_id))
