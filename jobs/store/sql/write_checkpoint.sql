-- Write a signed statement of how far the chains have come.
--
-- $1  bigint  its number
-- $2  text    id of the key
-- $3  text    what is signed
-- $4  bytea   signature
INSERT INTO portcullis.audit_checkpoint (number, key_id, body, signature) VALUES ($1, $2, $3, $4)
