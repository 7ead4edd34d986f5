-- Processes that are alive, for metrics: how many of each kind, and how late the latest event loop among them was.
SELECT p.kind, count(*) AS processes, max(p.loop_lag_seconds) AS lag_seconds
FROM portcullis.process p
WHERE p.seen_at > now() - interval '30 seconds'
GROUP BY p.kind
ORDER BY p.kind
