-- Take an operator's password and second factor away, end their sessions, forget their failures, and invite them anew.
--
-- $1  text      name
-- $2  bytea     digest of the invitation's code
-- $3  interval  how long it is good for
-- $4  text[]    keys of their failures
--
-- No row: there is nobody of that name.
WITH ended AS (
    DELETE FROM portcullis.operator_session s WHERE s.name = $1
), forgiven AS (
    DELETE FROM portcullis.operator_throttle t WHERE t.key = ANY ($4::text[])
)
UPDATE portcullis.operator o
SET invitation = $2, invited_until = now() + $3::interval, password_hash = NULL, key_id = NULL, secret = NULL, pending_key_id = NULL,
    pending_secret = NULL
WHERE o.name = $1
RETURNING o.role, o.invited_until
