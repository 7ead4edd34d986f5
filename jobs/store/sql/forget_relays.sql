-- Take back what one mailer process said of relays; what somebody holds closed is kept until then.
--
-- $1  text    the process
-- $2  text[]  relays, host:port
DELETE FROM portcullis.breaker b
WHERE b.scope = 'relay' AND b.seen_by = $1 AND b.subject = ANY ($2::text[]) AND (b.held_closed_until IS NULL OR b.held_closed_until <= now())
