-- The batches that have been due longest and that nobody holds, with their runs.
--
-- $1  text     queue
-- $2  integer  batches at most
SELECT b.batch_id, b.run_id, r.organization_name, b.stage, b.attempts, b.next_at, b.hinted_at, b.hints, b.error,
       portcullis.is_paused(r.run_id, r.organization_id, b.queue) AS is_paused,
       b.stage = 'notice' AND EXISTS (
           SELECT FROM portcullis.batch e
           WHERE e.run_id = r.run_id AND e.queue = 'enforce' AND e.urgency <= 1 AND e.state = 'open') AS is_behind_sessions
FROM portcullis.run r
CROSS JOIN LATERAL (
    SELECT o.* FROM portcullis.batch o
    WHERE o.run_id = r.run_id AND o.queue = $1 AND o.state = 'open' AND o.stage <> 'finish' AND o.next_at <= now()
      AND coalesce(o.leased_until < now(), true)
    ORDER BY o.urgency, o.batch_id LIMIT 3
) b
WHERE r.has_open_batches
ORDER BY b.next_at, b.batch_id LIMIT $2::integer
