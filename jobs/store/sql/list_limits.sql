-- The sending limits that hold instead of the configured ones.
SELECT l.scope, l.subject, l.amount, l.set_by, l.reason, l.set_at FROM portcullis.send_limit l ORDER BY l.scope, l.subject
