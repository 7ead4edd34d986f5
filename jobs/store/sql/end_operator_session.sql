-- End one session of an operator, or all of them but that one.
--
-- $1  text   name
-- $2  bytea  digest of the session's token
-- $3  text   'this' or 'others'
DELETE FROM portcullis.operator_session s
WHERE s.name = $1 AND (s.digest = $2) = ($3 = 'this')
RETURNING s.name
