-- Both queues in numbers, for metrics: what waits for a worker, for how long, and how long ago anything moved.
--
-- `ready`: due, held by nobody, paused by nobody, behind no barrier; a pause does not hold up what was cancelled. `stalled_seconds`: for
-- how long something has been ready while nothing of the queue was finished and no letter left; `run_stalled_seconds`: the same of the
-- worst single run. `unhinted_seconds`: how long the first batch of a run has been ready without a hint: how far the conductor is behind.
WITH parts AS MATERIALIZED (
    SELECT q.queue, b.ready, b.waiting, b.held, b.paused, b.lost, b.hinted, b.ready_since, b.head_since,
           CASE WHEN b.ready > 0 THEN (
               SELECT greatest(max(p.done_at), max(p.last_letter_at)) FROM portcullis.batch p
               WHERE p.run_id = r.run_id AND p.queue = q.queue) END AS moved_at
    FROM portcullis.run r
    CROSS JOIN (VALUES ('enforce'), ('notify')) AS q (queue)
    CROSS JOIN LATERAL (
        SELECT portcullis.is_paused(r.run_id, r.organization_id, q.queue) AS is_paused,
               EXISTS (SELECT FROM portcullis.batch e WHERE e.run_id = r.run_id AND e.queue = 'enforce' AND e.urgency <= 1
                       AND e.state = 'open') AS is_enforcing,
               EXISTS (SELECT FROM portcullis.batch e WHERE e.run_id = r.run_id AND e.queue = 'enforce' AND e.stage = 'settle'
                       AND e.state = 'open') AS is_settling,
               EXISTS (SELECT FROM portcullis.batch e WHERE e.run_id = r.run_id AND e.state IN ('open', 'dead')
                       AND e.stage IN ('plan', 'enforce', 'notice', 'settle')) AS is_unfinished
    ) s
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE o.is_ready) AS ready,
               count(*) FILTER (WHERE NOT o.is_ready AND NOT o.is_held AND NOT s.is_paused) AS waiting,
               count(*) FILTER (WHERE o.is_held) AS held,
               count(*) FILTER (WHERE s.is_paused AND NOT o.is_held AND NOT o.is_ready) AS paused,
               count(*) FILTER (WHERE o.leased_until <= now()) AS lost,
               count(*) FILTER (WHERE o.hinted_at IS NOT NULL AND NOT o.is_held) AS hinted,
               min(o.next_at) FILTER (WHERE o.is_ready) AS ready_since,
               min(o.next_at) FILTER (WHERE o.is_ready AND o.place = 1 AND o.hinted_at IS NULL AND o.leased_until IS NULL) AS head_since
        FROM (
            SELECT w.*, w.next_at <= now() AND NOT w.is_held AND (NOT s.is_paused OR r.state = 'cancelled' AND w.stage = 'settle') AND CASE w.stage
                       WHEN 'notice' THEN NOT s.is_enforcing
                       WHEN 'lifted' THEN NOT s.is_settling
                       WHEN 'finish' THEN NOT s.is_unfinished
                       ELSE true END AS is_ready
            FROM (
                SELECT o.stage, o.next_at, o.hinted_at, o.leased_until, coalesce(o.leased_until > now(), false) AS is_held,
                       row_number() OVER (ORDER BY o.urgency, o.batch_id) AS place
                FROM portcullis.batch o
                WHERE o.run_id = r.run_id AND o.queue = q.queue AND o.state = 'open'
            ) w
        ) o
    ) b
    WHERE r.has_open_batches
), queues AS (
    SELECT q.queue, coalesce(sum(p.ready), 0)::bigint AS ready, coalesce(sum(p.waiting), 0)::bigint AS waiting,
           coalesce(sum(p.held), 0)::bigint AS in_flight, coalesce(sum(p.paused), 0)::bigint AS paused,
           coalesce(sum(p.lost), 0)::bigint AS expired_leases, coalesce(sum(p.hinted), 0)::bigint AS hinted,
           min(p.ready_since) AS ready_since, min(p.head_since) AS head_since, max(p.moved_at) AS moved_at,
           min(greatest(p.ready_since, p.moved_at)) AS run_stalled_since
    FROM (VALUES ('enforce'), ('notify')) AS q (queue)
    LEFT JOIN parts p ON p.queue = q.queue
    GROUP BY q.queue
)
SELECT q.queue, q.ready, q.waiting, q.in_flight, q.paused, q.expired_leases, q.hinted,
       (SELECT count(*) FROM portcullis.batch d WHERE d.state = 'dead' AND d.queue = q.queue) AS dead,
       portcullis.seconds_since(q.ready_since) AS oldest_ready_seconds,
       portcullis.seconds_since(CASE WHEN q.ready > 0 THEN greatest(q.ready_since, q.moved_at) END) AS stalled_seconds,
       portcullis.seconds_since(q.run_stalled_since) AS run_stalled_seconds,
       portcullis.seconds_since(q.head_since) AS unhinted_seconds,
       (SELECT count(*) FROM portcullis.worker w WHERE w.queue = q.queue AND w.seen_at > now() - interval '30 seconds') AS workers,
       (SELECT coalesce(sum(w.threads), 0) FROM portcullis.worker w
        WHERE w.queue = q.queue AND w.seen_at > now() - interval '30 seconds') AS threads
FROM queues q
ORDER BY q.queue
