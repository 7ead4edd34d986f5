-- Members to whom this run wrote at one of these addresses. Reads the run's letters from one end to the other: a million take a second.
--
-- $1  bigint  run
-- $2  text[]  slots
-- $3  text[]  addresses
SELECT d.slot, d.member_id
FROM portcullis.delivery d
WHERE d.run_id = $1 AND d.slot = ANY ($2::text[])
  AND portcullis.address_key(d.recipient) IN (SELECT portcullis.address_key(a.address) FROM unnest($3::text[]) AS a (address))
LIMIT 100
