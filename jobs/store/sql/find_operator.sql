-- What an operator's sign-in is compared with.
--
-- $1  text  name
SELECT o.name, o.operator_id, o.role, o.password_hash, o.key_id, o.secret
FROM portcullis.operator o WHERE o.name = $1
