-- Seals that no signed statement covers yet, and how long ago the oldest of their entries was written, in seconds.
--
-- $1  bigint[]  runs
-- $2  bigint[]  place up to which each was signed for
SELECT count(*) AS seals, coalesce(max(extract(epoch FROM clock_timestamp() - e.happened_at)), 0)::double precision AS age
FROM portcullis.audit_seal s
LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS g (run_id, place) ON g.run_id = s.run_id
LEFT JOIN portcullis.audit_entry e ON e.entry_id = s.entry_id
WHERE s.place > coalesce(g.place, 0)
