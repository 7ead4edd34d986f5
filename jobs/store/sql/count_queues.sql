-- Both queues as PostgreSQL knows them: batches by what they wait for, how old the oldest is, who serves them, what was rejected.
SELECT q.queue, open.due, open.later, open.in_flight,
       (SELECT count(*) FROM portcullis.batch d WHERE d.state = 'dead' AND d.queue = q.queue) AS dead,
       open.oldest_due_seconds,
       (SELECT count(*) FROM portcullis.worker w WHERE w.queue = q.queue AND w.seen_at > now() - interval '30 seconds') AS workers,
       (SELECT count(*) FROM portcullis.quarantine m WHERE m.queue = q.queue) AS quarantined
FROM (VALUES ('enforce'), ('notify')) AS q (queue)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE b.next_at <= now() AND NOT held.is_held) AS due,
           count(*) FILTER (WHERE b.next_at > now() AND NOT held.is_held) AS later,
           count(*) FILTER (WHERE held.is_held) AS in_flight,
           extract(epoch FROM now() - min(b.next_at) FILTER (WHERE b.next_at <= now() AND NOT held.is_held))::double precision
               AS oldest_due_seconds
    FROM portcullis.batch b
    CROSS JOIN LATERAL (SELECT coalesce(b.leased_until > now(), false) AS is_held) held
    WHERE b.state = 'open' AND b.queue = q.queue AND b.stage <> 'finish'
) open
ORDER BY q.queue
