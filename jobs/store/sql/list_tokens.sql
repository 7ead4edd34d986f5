-- Tokens of the API, those that are good first.
SELECT t.name, t.role, t.created_by, t.created_at, t.expires_at, t.revoked_at, t.used_at,
       t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now()) AS is_good
FROM portcullis.api_token t
ORDER BY is_good DESC, t.name, t.token_id
