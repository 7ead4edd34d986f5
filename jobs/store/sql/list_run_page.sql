-- One page of runs, newest first, each with its `run_status` object and the name it had when it was opened.
--
-- $1  bigint                      only runs with smaller numbers; null: from the newest on
-- $2  text                        state; null: any
-- $3  portcullis.organization_id  organization; null: all
-- $4  integer                     runs at most
SELECT page.run_id, page.organization_name, portcullis.run_status(page.run_id)::text AS status
FROM (
    SELECT r.run_id, r.organization_name FROM portcullis.run r
    WHERE ($1::bigint IS NULL OR r.run_id < $1::bigint)
      AND ($2::text IS NULL OR r.state = $2::text)
      AND ($3::portcullis.organization_id IS NULL OR r.organization_id = $3::portcullis.organization_id)
    ORDER BY r.run_id DESC LIMIT $4::integer
) page
ORDER BY page.run_id DESC
