-- Members with a letter of this run whose long id has this digest; nearly always one.
--
-- $1  bigint  run
-- $2  text    slot
-- $3  text    digest
SELECT d.member_id
FROM portcullis.delivery d
WHERE d.run_id = $1 AND d.slot = $2 AND left(md5(d.member_id::text), 16) = $3 AND octet_length(d.member_id::text) > 16
LIMIT 10
