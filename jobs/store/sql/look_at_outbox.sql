-- How the conductor keeps up, a row a queue: what is due and was never hinted although it is its run's turn, hints that nobody has taken
-- up, hints repeated, leases that ran out, batches held.
SELECT q.queue,
       count(b.batch_id) AS open,
       count(*) FILTER (WHERE b.hinted_at IS NOT NULL AND NOT b.is_held) AS hinted,
       coalesce(sum(greatest(b.hints - 1, 0)), 0)::bigint AS repeated,
       count(*) FILTER (WHERE b.is_held) AS held,
       count(*) FILTER (WHERE b.leased_until <= now()) AS expired,
       extract(epoch FROM now() - min(greatest(b.next_at, b.made_at)) FILTER (WHERE b.is_head AND b.next_at <= now() AND b.hinted_at IS NULL
               AND NOT b.is_held))::double precision AS lag_seconds,
       extract(epoch FROM now() - min(b.hinted_at) FILTER (WHERE b.hinted_at IS NOT NULL AND NOT b.is_held))::double precision AS unclaimed_seconds
FROM (VALUES ('enforce'), ('notify')) AS q (queue)
LEFT JOIN LATERAL (
    SELECT o.batch_id, o.hinted_at, o.hints, o.leased_until, o.next_at, o.made_at, coalesce(o.leased_until > now(), false) AS is_held,
           row_number() OVER (PARTITION BY o.run_id ORDER BY o.urgency, o.batch_id) = 1
           AND NOT portcullis.is_paused(r.run_id, r.organization_id, o.queue)
           AND NOT (o.queue = 'notify' AND EXISTS (
               SELECT FROM portcullis.batch e
               WHERE e.run_id = r.run_id AND e.queue = 'enforce' AND e.urgency <= 1 AND e.state = 'open')) AS is_head
    FROM portcullis.run r
    JOIN portcullis.batch o ON o.run_id = r.run_id AND o.queue = q.queue AND o.state = 'open' AND o.stage <> 'finish'
    WHERE r.has_open_batches
) b ON true
GROUP BY q.queue ORDER BY q.queue
