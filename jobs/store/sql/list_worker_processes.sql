-- Worker processes as their last heartbeats said, and which of the batches that they named they still hold.
SELECT w.worker, w.queue, w.host, w.pid, w.threads, w.version, w.started_at, w.seen_at,
       extract(epoch FROM now() - w.seen_at)::double precision AS silent_seconds, w.seen_at < now() - interval '30 seconds' AS is_silent,
       p.loop_lag_seconds AS lag_seconds, cardinality(w.held) AS held, (
           SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'batch_id', b.batch_id, 'run_id', b.run_id, 'stage', b.stage,
                      'lease_left_seconds', extract(epoch FROM b.leased_until - now())::double precision) ORDER BY b.batch_id), '[]')
           FROM portcullis.batch b
           WHERE b.batch_id = ANY (w.held) AND b.leased_until > now() AND b.holder || '/' || w.queue = w.worker
       )::text AS batches,
       w.is_draining, w.drain_ordered_at, w.drain_ordered_by
FROM portcullis.worker w
LEFT JOIN portcullis.process p ON p.process = w.host || ':' || w.pid
ORDER BY w.queue, w.worker
LIMIT 1000
