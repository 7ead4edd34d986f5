-- Pause something; what is in the middle of a transaction or of a wave of letters comes to its end.
--
-- $1  text  scope: everything, queue, organization, run
-- $2  text  subject; '' for everything
-- $3  text  who
-- $4  text  why
--
-- No row: that was paused already.
INSERT INTO portcullis.pause (scope, subject, paused_by, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING paused_at
