-- Consume a request that came as a message, once.
--
-- $1  uuid                      request
-- $2  timestamp with time zone  when the message expires, by the sender's word
--
-- One row: it is ours now. No row: expired, or consumed before.
INSERT INTO portcullis.request (request_id)
SELECT $1 WHERE $2 > now() AND $2 < now() + interval '1 hour'
ON CONFLICT DO NOTHING
RETURNING request_id
