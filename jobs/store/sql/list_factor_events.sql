-- What happened to a user's second factor, where Portcullis keeps it, latest first.
--
-- $1  portcullis.member_id  user
-- $2  integer               events at most
SELECT a.happened_at, a.effect, a.kind, a.done_by::text AS done_by, a.reason, a.sessions_ended
FROM portcullis.factor_audit a WHERE a.user_id = $1::portcullis.member_id
ORDER BY a.audit_id DESC LIMIT $2::integer
