-- Breakers that hold something back for a mailer process, and those of its own relays.
--
-- $1  text  the process
--
-- `retry_in`: seconds until it tries again by itself; null: it is trying. `held_for`: seconds for which it may not open.
SELECT b.scope, b.subject, b.seen_by, b.state, b.cause, b.opened_at, extract(epoch FROM b.retry_at - now())::double precision AS retry_in,
       greatest(0, extract(epoch FROM b.held_closed_until - now()))::double precision AS held_for, b.changed_by
FROM portcullis.breaker b
WHERE (b.scope <> 'relay' AND b.state <> 'closed') OR (b.scope = 'relay' AND b.seen_by = $1)
ORDER BY b.scope, b.subject, b.seen_by
