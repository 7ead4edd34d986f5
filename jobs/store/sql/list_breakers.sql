-- Every breaker that is open or was, open ones first.
SELECT b.scope, b.subject, b.seen_by, b.state, b.cause, b.opened_at, b.openings, b.retry_at, b.held_closed_until, b.changed_at, b.changed_by
FROM portcullis.breaker b
ORDER BY b.state = 'closed', b.changed_at DESC, b.scope, b.subject, b.seen_by
LIMIT 1000
