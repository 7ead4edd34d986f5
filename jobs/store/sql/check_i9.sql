-- I9: a small run is not left waiting behind others: its sessions have ended a minute after it could begin.
SELECT count(*) AS found, 'small run ' || min(w.run_id) || ' has waited for more than a minute' AS words
FROM (
    SELECT r.run_id
    FROM portcullis.run r
    JOIN portcullis.batch b ON b.run_id = r.run_id
    WHERE r.state = 'running' AND greatest(r.requested_at, r.effective_at) < now() - interval '60 seconds'
      AND NOT portcullis.is_paused(r.run_id, r.organization_id, 'enforce')
    GROUP BY r.run_id
    HAVING count(*) FILTER (WHERE b.stage = 'enforce') <= 1
       AND bool_or(b.stage IN ('plan', 'enforce') AND b.state = 'open' AND b.error IS NULL AND b.next_at < now() - interval '60 seconds')
) w
