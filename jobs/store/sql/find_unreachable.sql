-- Members of a run whose letter has not arrived, with the reason, and in each row how many there are in all; for the admin's report.
--
-- $1  bigint                      run
-- $2  portcullis.organization_id  organization
-- $3  integer                     rows at most
SELECT d.member_id, coalesce(d.recipient, m.email) AS address, d.state, d.reason, count(*) OVER () AS total
FROM portcullis.delivery d
LEFT JOIN directory.member m ON m.organization_id = $2::portcullis.organization_id AND m.user_id = d.member_id
WHERE d.run_id = $1 AND d.slot = 'notice'
  AND (d.state IN ('refused', 'uncertain', 'deferred') OR (d.state = 'suppressed' AND d.reason NOT IN ('inactive', 'left'))
       OR (d.state = 'cancelled' AND d.reason = 'discarded'))
ORDER BY d.member_id LIMIT $3::integer
