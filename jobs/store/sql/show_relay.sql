-- Say how one relay stands, as one mailer process sees it: its breaker is open or probing.
--
-- $1  text                      relay, host:port
-- $2  text                      the process
-- $3  text                      open | probing
-- $4  text                      why, in words
-- $5  timestamp with time zone  when the relay was last seen well
-- $6  double precision          seconds until it is tried again
--
-- What somebody holds closed stays closed.
INSERT INTO portcullis.breaker AS b (scope, subject, seen_by, state, cause, opened_at, retry_at)
VALUES ('relay', $1, $2, $3, $4, $5, now() + make_interval(secs => $6))
ON CONFLICT (scope, subject, seen_by) DO UPDATE
SET state = excluded.state, cause = excluded.cause, opened_at = excluded.opened_at, retry_at = excluded.retry_at, changed_at = now(),
    openings = b.openings + (b.state <> 'open' AND excluded.state = 'open')::integer, changed_by = NULL
WHERE b.held_closed_until IS NULL OR b.held_closed_until <= now()
