-- I10: a run ends by itself: within a quarter of an hour something of it is done, unless somebody paused it or it waits for a human.
SELECT count(*) AS found, 'run ' || min(w.run_id) || ' has stood still for more than 15 minutes' AS words
FROM (
    SELECT r.run_id
    FROM portcullis.run r
    JOIN portcullis.batch b ON b.run_id = r.run_id
    WHERE r.state = 'running' AND NOT portcullis.is_paused(r.run_id, r.organization_id, 'enforce')
      AND NOT portcullis.is_paused(r.run_id, r.organization_id, 'notify')
    GROUP BY r.run_id
    HAVING NOT bool_or(b.state = 'dead')
       AND greatest(max(b.done_at), max(b.last_letter_at), max(b.next_at) FILTER (WHERE b.state = 'open'), max(b.leased_until))
           < now() - interval '15 minutes'
) w
