-- Let a token be good no longer.
--
-- $1  text  its name
--
-- No row: there is no such token, or it was revoked before.
UPDATE portcullis.api_token t SET revoked_at = now() WHERE t.name = $1 AND t.revoked_at IS NULL RETURNING t.token_id
