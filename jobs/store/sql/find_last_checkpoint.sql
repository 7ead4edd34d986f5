-- The last signed statement of how far the chains had come.
SELECT c.number, c.made_at, c.key_id, c.body, c.signature
FROM portcullis.audit_checkpoint c ORDER BY c.number DESC LIMIT 1
