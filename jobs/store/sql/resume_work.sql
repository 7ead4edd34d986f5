-- End a pause, and have the conductor look at once.
--
-- $1  text  scope: everything, queue, organization, run
-- $2  text  subject; '' for everything
--
-- No row: that was not paused.
DELETE FROM portcullis.pause p WHERE p.scope = $1 AND p.subject = $2
RETURNING p.paused_at, pg_notify('portcullis', '') IS NULL AS is_told
