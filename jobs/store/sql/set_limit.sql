-- Set a sending limit that holds instead of the configured one.
--
-- $1  text              scope: relay, organization, domain, quota
-- $2  text              subject; '' is every one
-- $3  double precision  letters a second, for the quota in 24 hours; 0 is no limit
-- $4  text              who
-- $5  text              why
--
-- Returns what was set there before, or null.
WITH before AS MATERIALIZED (
    SELECT l.amount FROM portcullis.send_limit l WHERE l.scope = $1 AND l.subject = $2
)
INSERT INTO portcullis.send_limit (scope, subject, amount, set_by, reason) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope, subject) DO UPDATE
SET amount = excluded.amount, set_by = excluded.set_by, reason = excluded.reason, set_at = now()
RETURNING (SELECT b.amount FROM before b) AS before, pg_notify('portcullis', '') IS NULL AS is_told
