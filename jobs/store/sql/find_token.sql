-- Find a token that is good, and note that it is used, once a minute at most.
--
-- $1  bytea  SHA-256 of the token
WITH found AS MATERIALIZED (
    SELECT t.token_id, t.name, t.role, t.used_at
    FROM portcullis.api_token t
    WHERE t.digest = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
), noted AS (
    UPDATE portcullis.api_token t SET used_at = now()
    FROM found f
    WHERE t.token_id = f.token_id AND (f.used_at IS NULL OR f.used_at < now() - interval '1 minute')
)
SELECT f.name, f.role FROM found f
