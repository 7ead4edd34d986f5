-- Messages that could not be trusted or understood, latest first; never what was in them.
--
-- $1  integer  messages at most
SELECT m.digest, m.queue, m.reason, octet_length(m.payload) AS bytes, m.quarantined_at
FROM portcullis.quarantine m ORDER BY m.quarantined_at DESC LIMIT $1::integer
