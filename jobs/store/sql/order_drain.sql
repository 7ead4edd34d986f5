-- Tell a worker process to end; it hears of it with its next heartbeat.
--
-- $1  text  worker as host:pid/queue, or host:pid
-- $2  text  who
--
-- One row for each queue that it serves, with whether this was new. No row: there is no such process.
WITH found AS MATERIALIZED (
    SELECT w.worker, w.seen_at < now() - interval '30 seconds' AS is_silent, w.drain_ordered_at IS NULL AND NOT w.is_draining AS is_new
    FROM portcullis.worker w
    WHERE w.worker = $1 OR regexp_replace(w.worker, '/[^/]*$', '') = $1
    ORDER BY w.worker
    FOR UPDATE
), told AS (
    UPDATE portcullis.worker w SET drain_ordered_at = now(), drain_ordered_by = $2
    FROM found f WHERE w.worker = f.worker AND f.is_new AND NOT f.is_silent
)
SELECT f.worker, f.is_silent, f.is_new FROM found f
