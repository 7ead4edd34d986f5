-- Whether another seal than this one follows that one in a chain.
--
-- $1  bigint  run
-- $2  bytea   seal that is followed
-- $3  bigint  entry of this one
SELECT EXISTS (SELECT FROM portcullis.audit_seal s WHERE s.run_id = $1 AND s.previous = $2 AND s.entry_id <> $3) AS is_followed
