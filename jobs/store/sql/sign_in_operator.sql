-- Spend the step of a code that fits, once, and begin a session: the one place that decides who is let in.
--
-- $1  text                      name
-- $2  bigint                    step; -1: no code fitted
-- $3  text                      the password's hash, as it was compared
-- $4  bytea                     digest of the session's token
-- $5  interval                  how long the session lasts
-- $6  text[]                    keys of failures that are forgiven
--
-- No row: this step or a later one was spent before, or the operator was reset or removed meanwhile.
WITH spent AS (
    UPDATE portcullis.operator o SET last_step = $2, signed_in_at = now()
    WHERE o.name = $1 AND o.last_step < $2 AND o.password_hash = $3
    RETURNING o.name, o.role
), forgiven AS (
    DELETE FROM portcullis.operator_throttle t USING spent WHERE t.key = ANY ($6::text[])
), begun AS (
    INSERT INTO portcullis.operator_session (digest, name, is_full, expires_at)
    SELECT $4::bytea, s.name, true, now() + $5::interval FROM spent s
)
SELECT s.name, s.role FROM spent s
