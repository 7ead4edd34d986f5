-- Bind the password and the second factor that an operator began with, use the invitation up, and begin a session.
--
-- $1  text      name
-- $2  text      the password's hash
-- $3  bytea     the sealed secret whose code was right
-- $4  bigint    its step, which is spent
-- $5  bytea     digest of the session's token
-- $6  interval  how long the session lasts
-- $7  text[]    keys of failures that are forgiven
--
-- No row: the invitation has expired, was used, or begun anew elsewhere.
WITH bound AS (
    UPDATE portcullis.operator o
    SET password_hash = $2, key_id = o.pending_key_id, secret = o.pending_secret, last_step = $4, signed_in_at = now(),
        invitation = NULL, invited_until = NULL, pending_key_id = NULL, pending_secret = NULL
    WHERE o.name = $1 AND o.pending_secret = $3 AND o.invited_until > now()
    RETURNING o.name, o.role
), forgiven AS (
    DELETE FROM portcullis.operator_throttle t USING bound WHERE t.key = ANY ($7::text[])
), ended AS (
    DELETE FROM portcullis.operator_session s USING bound b WHERE s.name = b.name
), begun AS (
    INSERT INTO portcullis.operator_session (digest, name, is_full, expires_at)
    SELECT $5::bytea, b.name, true, now() + $6::interval FROM bound b
)
SELECT b.name, b.role FROM bound b
