-- The latest runs, newest first, each as its `run_status` object.
--
-- $1  portcullis.organization_id  organization; null: all
-- $2  integer                     runs at most
SELECT portcullis.run_status(latest.run_id) AS status
FROM (
    SELECT r.run_id FROM portcullis.run r
    WHERE $1::portcullis.organization_id IS NULL OR r.organization_id = $1::portcullis.organization_id
    ORDER BY r.run_id DESC LIMIT $2::integer
) latest
ORDER BY latest.run_id DESC
