-- I8: a run works under its organization's policy as it stands, and nothing of a stopped run was done after the stop.
SELECT count(*) AS found, 'run ' || min(w.run_id) || ' works, or worked, under a policy that no longer stands' AS words
FROM (
    SELECT r.run_id FROM portcullis.run r
    LEFT JOIN portcullis.policy p ON p.organization_id = r.organization_id
    WHERE r.state = 'running' AND (p.required IS NOT TRUE OR p.epoch <> r.epoch)
    UNION ALL
    SELECT r.run_id FROM portcullis.run r
    JOIN portcullis.audit_entry e ON e.run_id = r.run_id AND e.effect = 'stopped'
    JOIN portcullis.batch b ON b.run_id = r.run_id
    WHERE r.state = 'cancelled' AND r.finished_at > now() - interval '7 days'
      AND b.stage IN ('plan', 'enforce', 'finish') AND b.state = 'done' AND b.done_at > e.happened_at
) w
