-- Messages that were rejected within the last day, by reason.
SELECT m.reason, count(*) AS messages FROM portcullis.quarantine m
WHERE m.quarantined_at > now() - interval '1 day'
GROUP BY m.reason ORDER BY m.reason
