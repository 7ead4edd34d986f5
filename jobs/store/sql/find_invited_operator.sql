-- Whom an invitation is for: what the secret that they will be shown is bound to.
--
-- $1  text   name
-- $2  bytea  digest of the invitation's code
--
-- No row: there is no such invitation, or it has expired or was used.
SELECT o.operator_id FROM portcullis.operator o WHERE o.name = $1 AND o.invitation = $2 AND o.invited_until > now()
