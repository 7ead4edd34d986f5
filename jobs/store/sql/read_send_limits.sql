-- Sending limits that hold instead of the configured ones. Read by every mailer, every second.
SELECT l.scope, CASE l.scope WHEN 'domain' THEN lower(l.subject) ELSE l.subject END AS subject, l.amount
FROM portcullis.send_limit l
