-- Say that a worker process is alive and what it does, and hear whether it was told to end.
--
-- $1  text                      worker
-- $2  text                      queue
-- $3  integer                   threads
-- $4  text                      version
-- $5  timestamp with time zone  when it was started; null: not known
-- $6  text                      host
-- $7  integer                   process id on that host
-- $8  bigint[]                  batches that it works on
-- $9  boolean                   whether it is about to end
--
-- An order to end is for the process that it was given to, not for another one that has its name later.
INSERT INTO portcullis.worker AS w (worker, queue, threads, version, started_at, host, pid, held, is_draining)
VALUES ($1, $2, $3::integer, $4, coalesce($5, now()), $6, $7::integer, $8::bigint[], $9::boolean)
ON CONFLICT (worker) DO UPDATE
SET seen_at = now(), threads = excluded.threads, version = excluded.version, started_at = coalesce($5, w.started_at), host = excluded.host,
    pid = excluded.pid, held = excluded.held, is_draining = excluded.is_draining,
    drain_ordered_at = CASE WHEN w.started_at = coalesce($5, w.started_at) THEN w.drain_ordered_at END,
    drain_ordered_by = CASE WHEN w.started_at = coalesce($5, w.started_at) THEN w.drain_ordered_by END
RETURNING w.drain_ordered_at IS NOT NULL AS must_end
