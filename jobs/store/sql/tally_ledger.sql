-- Sums over the members of a run, as the ledger and what is left of members who were erased have them.
--
-- $1  bigint  run
--
-- No row: nothing can be said, because the run's members were forgotten, or it is from before the audit.
SELECT count(*) AS judged, coalesce(sum(m.sessions_ended), 0)::bigint AS sessions_ended,
       coalesce(sum(m.subject::numeric), 0) AS people, coalesce(sum(m.subject::numeric * m.sessions_ended), 0) AS ends,
       count(*) FILTER (WHERE m.verdict = 'unprotected') AS unprotected, count(*) FILTER (WHERE m.verdict = 'protected') AS protected,
       count(*) FILTER (WHERE m.verdict = 'sso') AS sso, count(*) FILTER (WHERE m.verdict = 'exempt') AS exempt,
       count(*) FILTER (WHERE m.verdict = 'inactive') AS inactive
FROM (
    SELECT d.subject, d.verdict, d.sessions_ended FROM portcullis.delivery d WHERE d.run_id = $1 AND d.slot = 'notice'
    UNION ALL
    SELECT e.subject, e.verdict, e.sessions_ended FROM portcullis.erased e WHERE e.run_id = $1 AND e.slot = 'notice'
) m
HAVING EXISTS (SELECT FROM portcullis.audit_entry q WHERE q.run_id = $1 AND q.effect = 'required')
   AND NOT EXISTS (SELECT FROM portcullis.run r WHERE r.run_id = $1 AND r.forgotten_at IS NOT NULL)
