-- Record one effect on somebody's second factor, in its transaction.
--
-- $1   text                        effect
-- $2   portcullis.member_id        user
-- $3   portcullis.member_id        who did it; null: it happened by rule
-- $4   portcullis.organization_id  in whose name; null: the member's own
-- $5   uuid                        factor
-- $6   text                        its kind
-- $7   text                        reason
-- $8   boolean                     whether a protection was overridden
-- $9   bigint                      sessions ended
-- $10  text                        where from, as a JSON object
INSERT INTO portcullis.factor_audit AS a
    (effect, user_id, done_by, organization_id, factor_id, kind, reason, is_override, sessions_ended, origin)
VALUES ($1, $2::portcullis.member_id, $3::portcullis.member_id, $4::portcullis.organization_id, $5, $6, $7, $8, $9, ($10::text)::jsonb)
RETURNING a.audit_id
