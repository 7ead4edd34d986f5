-- The last seal of each of these chains, where there is one.
--
-- $1  bigint[]  runs; 0: what belongs to none
SELECT r.run_id, s.place, s.digest
FROM unnest($1::bigint[]) AS r (run_id)
CROSS JOIN LATERAL (
    SELECT t.place, t.digest FROM portcullis.audit_seal t WHERE t.run_id = r.run_id ORDER BY t.place DESC LIMIT 1) s
