-- Let the configured sending limit hold again.
--
-- $1  text  scope: relay, organization, domain, quota
-- $2  text  subject; '' is every one
--
-- No row: none was set there.
DELETE FROM portcullis.send_limit l WHERE l.scope = $1 AND l.subject = $2
RETURNING l.amount, pg_notify('portcullis', '') IS NULL AS is_told
