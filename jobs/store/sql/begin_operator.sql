-- Let somebody with an invitation begin: keep the secret that they are shown, and begin a session that may do nothing else.
--
-- $1  text      name
-- $2  bytea     digest of the invitation's code
-- $3  text      key id of the secret
-- $4  bytea     secret, sealed
-- $5  bytea     digest of the session's token
-- $6  interval  how long that session lasts
-- $7  text[]    keys of failures that are forgiven
--
-- No row: there is no such invitation, or it has expired or was used.
WITH invited AS (
    UPDATE portcullis.operator o SET pending_key_id = $3, pending_secret = $4
    WHERE o.name = $1 AND o.invitation = $2 AND o.invited_until > now()
    RETURNING o.name
), forgiven AS (
    DELETE FROM portcullis.operator_throttle t USING invited WHERE t.key = ANY ($7::text[])
), ended AS (
    DELETE FROM portcullis.operator_session s USING invited i WHERE s.name = i.name AND NOT s.is_full
), begun AS (
    INSERT INTO portcullis.operator_session (digest, name, is_full, expires_at)
    SELECT $5::bytea, i.name, false, now() + $6::interval FROM invited i
)
SELECT i.name FROM invited i
