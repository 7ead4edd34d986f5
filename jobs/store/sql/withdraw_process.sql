-- Say that a process that counted has ended.
--
-- $1  text  process
DELETE FROM portcullis.process p WHERE p.process = $1
