-- Note which run a request led to.
--
-- $1  uuid    request
-- $2  bigint  run
UPDATE portcullis.request SET run_id = $2 WHERE request_id = $1
