-- Members of a run's organization who have one of these addresses at present, through the main app's index on addresses.
--
-- $1  bigint  run
-- $2  text[]  addresses
SELECT m.user_id
FROM directory.member m
WHERE m.organization_id = (SELECT r.organization_id FROM portcullis.run r WHERE r.run_id = $1) AND m.email = ANY ($2::text[])
LIMIT 100
