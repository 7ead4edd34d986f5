-- I5: no letter of a run leaves longer than a lease after its stop.
SELECT count(*) AS found, 'batches of run ' || min(r.run_id) || ' sent letters after it was stopped' AS words
FROM portcullis.run r
JOIN portcullis.audit_entry e ON e.run_id = r.run_id AND e.effect = 'stopped'
JOIN portcullis.batch b ON b.run_id = r.run_id
WHERE r.state = 'cancelled' AND b.stage IN ('notice', 'deferred', 'report', 'week', 'day')
  AND b.last_letter_at > e.happened_at + interval '60 seconds' AND r.finished_at > now() - interval '7 days'
