-- Forget failures that nobody has to wait for any more, and sessions that are over.
--
-- $1  interval  how long ago the last attempt was
-- $2  integer   failures in a row that are never forgotten by themselves
WITH over AS (
    DELETE FROM portcullis.operator_session s WHERE s.expires_at < now()
)
DELETE FROM portcullis.operator_throttle t
WHERE t.tried_at < now() - $1::interval AND t.failures < $2::integer AND coalesce(t.locked_until < now(), true)
