-- When a run was required, ended its last session, and was over, as its record says.
--
-- $1  bigint  run
SELECT min(e.happened_at) FILTER (WHERE e.effect = 'required') AS requested_at,
       max(e.happened_at) FILTER (WHERE e.effect = 'enforced' AND (e.facts ->> 'sessions_ended')::bigint > 0) AS last_session_ended_at,
       min(e.happened_at) FILTER (WHERE e.effect IN ('finished', 'stopped')) AS finished_at
FROM portcullis.audit_entry e WHERE e.run_id = $1
