-- Add a token of the API.
--
-- $1  text                      its name
-- $2  text                      what it may do: viewer or operator
-- $3  bytea                     SHA-256 of the token
-- $4  text                      who made it
-- $5  timestamp with time zone  until when it is good; null: until it is revoked
--
-- No row: there is a token of that name, and it was not revoked.
INSERT INTO portcullis.api_token AS t (name, role, digest, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5::timestamptz)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING t.token_id
