-- Remove an operator; their sessions end with it.
--
-- $1  text  name
--
-- No row: there is nobody of that name.
DELETE FROM portcullis.operator o WHERE o.name = $1 RETURNING o.name
