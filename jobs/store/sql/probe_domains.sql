-- Be the one who tries recipient domains whose pause is over, or whose last trier fell silent.
--
-- $1  text[]    domains
-- $2  interval  how long others leave it to us
--
-- One row a domain that is ours to try.
UPDATE portcullis.breaker b SET state = 'probing', retry_at = now() + $2::interval, changed_at = now()
WHERE b.scope = 'domain' AND b.seen_by = '' AND b.subject = ANY ($1::text[]) AND b.state <> 'closed' AND b.retry_at <= now()
RETURNING b.subject
