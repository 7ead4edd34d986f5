-- Keep a message that can't be trusted or understood for a human, once.
--
-- $1  text   digest of the payload
-- $2  text   queue
-- $3  text   reason
-- $4  bytea  payload, cut to a bounded size
INSERT INTO portcullis.quarantine (digest, queue, reason, payload) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING digest
