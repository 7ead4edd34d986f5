-- The seals at these places of these chains, where there are any.
--
-- $1  bigint[]  run
-- $2  bigint[]  place
SELECT g.run_id, g.place, s.digest
FROM unnest($1::bigint[], $2::bigint[]) AS g (run_id, place)
LEFT JOIN portcullis.audit_seal s ON s.run_id = g.run_id AND s.place = g.place
