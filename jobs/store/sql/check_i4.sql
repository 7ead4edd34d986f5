-- I4: when a run is done every letter has come to an end, but for those that recipients deferred.
SELECT count(*) AS found, 'batches of letters are open though run ' || min(r.run_id) || ' is done' AS words
FROM portcullis.run r
JOIN portcullis.batch b ON b.run_id = r.run_id
WHERE r.state = 'done' AND b.stage = 'notice' AND b.owed + b.sending + b.deferred > 0 AND r.finished_at > now() - interval '7 days'
