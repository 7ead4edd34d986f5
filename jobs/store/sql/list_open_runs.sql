-- Runs with something left to do, the oldest first, each with its `run_status` object.
--
-- $1  integer  runs at most
SELECT page.run_id, page.organization_name, portcullis.run_status(page.run_id)::text AS status
FROM (
    SELECT r.run_id, r.organization_name FROM portcullis.run r WHERE r.has_open_batches ORDER BY r.run_id LIMIT $1::integer
) page
ORDER BY page.run_id
