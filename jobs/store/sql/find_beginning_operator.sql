-- The secret that an operator who begins was shown.
--
-- $1  text  name
--
-- No row: the invitation has expired, or was used.
SELECT o.operator_id, o.pending_key_id AS key_id, o.pending_secret AS secret
FROM portcullis.operator o
WHERE o.name = $1 AND o.invited_until > now() AND o.pending_secret IS NOT NULL
