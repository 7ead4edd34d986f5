-- I15: each effect has its entry, sealed within a minute.
SELECT count(*) AS found, min(w.words) AS words
FROM (
    SELECT format('batch %s of run %s has no entry', b.batch_id, b.run_id) AS words
    FROM portcullis.batch b
    WHERE b.stage = 'enforce' AND b.state = 'done' AND b.done_at > now() - interval '1 day'
      -- Not of a run from before the audit.
      AND EXISTS (SELECT FROM portcullis.audit_entry q WHERE q.run_id = b.run_id AND q.effect = 'required')
      AND NOT EXISTS (SELECT FROM portcullis.audit_entry e WHERE e.run_id = b.run_id AND e.effect = 'enforced' AND e.batch_id = b.batch_id)
    UNION ALL
    SELECT format('event %s of a second factor has no entry', a.audit_id)
    FROM portcullis.factor_audit a
    WHERE a.salt IS NOT NULL AND a.happened_at > now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM portcullis.audit_entry e WHERE e.effect = 'factor' AND (e.facts ->> 'event')::bigint = a.audit_id)
    UNION ALL
    SELECT format('entry %s waits for its seal: does a conductor run?', u.entry_id)
    FROM portcullis.audit_unsealed u JOIN portcullis.audit_entry e ON e.entry_id = u.entry_id
    WHERE e.happened_at < now() - interval '60 seconds'
) w
