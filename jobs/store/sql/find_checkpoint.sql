-- One signed statement of how far the chains had come.
--
-- $1  bigint  its number
SELECT c.number, c.made_at, c.key_id, c.body, c.signature FROM portcullis.audit_checkpoint c WHERE c.number = $1
