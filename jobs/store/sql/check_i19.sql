-- I19: after the switch was turned off no further session was ended.
SELECT count(*) AS found, 'batches of run ' || min(l.run_id) || ' ended sessions after the switch was turned off' AS words
FROM portcullis.audit_entry l
JOIN portcullis.audit_entry e ON e.run_id = l.run_id AND e.effect = 'enforced' AND e.happened_at > l.happened_at
WHERE l.effect IN ('lifted', 'stopped') AND l.happened_at > now() - interval '7 days'
