-- Keep the time zone that an operator wants to read times in.
--
-- $1  text  name
-- $2  text  time zone; null: the browser's own
UPDATE portcullis.operator o SET time_zone = $2 WHERE o.name = $1
