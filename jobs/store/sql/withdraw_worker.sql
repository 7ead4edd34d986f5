-- Say that a worker process has ended.
--
-- $1  text  worker
DELETE FROM portcullis.worker w WHERE w.worker = $1
