-- Whose session this is, and note that they were here, at most once a minute.
--
-- $1  bytea     digest of the session's token
-- $2  interval  how long a session may rest
-- $3  boolean   whether somebody is here; false: an open page asks by itself
--
-- No row: it is over, or there never was one.
WITH seen AS (
    UPDATE portcullis.operator_session s SET seen_at = now()
    WHERE $3::boolean AND s.digest = $1 AND s.expires_at > now() AND s.seen_at > now() - $2::interval AND s.seen_at < now() - interval '1 minute'
)
SELECT o.name, o.role, o.time_zone, s.is_full, s.started_at, s.expires_at
FROM portcullis.operator_session s
JOIN portcullis.operator o ON o.name = s.name
WHERE s.digest = $1 AND s.expires_at > now() AND s.seen_at > now() - $2::interval
  -- Who was reset has no password: a sign-in of the same moment, whose session the reset did not see yet, is worth nothing.
  AND s.is_full = (o.password_hash IS NOT NULL)
