-- Choose the batches to publish hints for, and note that they were: the message leaves after this commits.
--
-- $1  integer   window per organization and queue where no worker has announced itself
-- $2  interval  how long an unclaimed hint is left before it is published again; doubles up to sixty-fold
-- $3  integer   hints at most
--
-- Organizations take turns: each one's first batch comes before anybody's second. A window is twice the worker threads of its queue,
-- so that one organization keeps all of them busy and still leaves no queue behind which another would wait. What is due within five
-- seconds keeps its place: a batch that a limit or the relay holds back must not let every other one come and ask as well. One whose
-- letters wait for their recipient domains alone makes room, because the letters of others may leave. What is within the first half of
-- its organization's window goes before what waits already: behind another organization's second half it would wait for no reason.
WITH windows AS MATERIALIZED (
    SELECT q.queue, greatest($1::integer, coalesce((
               SELECT 2 * sum(w.threads) FROM portcullis.worker w
               WHERE w.queue = q.queue AND w.seen_at > now() - interval '30 seconds'), 0)) AS size
    FROM (VALUES ('enforce'), ('notify')) AS q (queue)
), candidates AS MATERIALIZED (
    SELECT b.batch_id,
           row_number() OVER (PARTITION BY r.organization_id, w.queue ORDER BY b.urgency, b.batch_id) AS place,
           w.size / 2 AS half,
           b.next_at <= now() AND CASE WHEN b.leased_until IS NOT NULL THEN b.leased_until < now()
                ELSE b.hinted_at IS NULL OR b.hinted_at + $2::interval * least(60, 2 ^ least(b.hints - 1, 10)) < now() END AS is_free
    FROM portcullis.run r
    CROSS JOIN windows w
    CROSS JOIN LATERAL (
        SELECT o.batch_id, o.urgency, o.next_at, o.leased_until, o.hinted_at, o.hints
        FROM portcullis.batch o
        WHERE o.run_id = r.run_id AND o.queue = w.queue AND o.state = 'open' AND o.next_at <= CASE WHEN o.holds_place THEN now() + interval '5 seconds' ELSE now() END
          -- Sessions come first: no letter of the run while one of its batches to enforce is open.
          AND (o.stage <> 'notice' OR NOT EXISTS (
                   SELECT FROM portcullis.batch e
                   WHERE e.run_id = r.run_id AND e.queue = 'enforce' AND e.urgency <= 1 AND e.state = 'open'))
          -- Who is told of a lift is known when the letters in flight at that moment have their outcomes.
          AND (o.stage <> 'lifted' OR NOT EXISTS (
                   SELECT FROM portcullis.batch e
                   WHERE e.run_id = r.run_id AND e.queue = 'enforce' AND e.stage = 'settle' AND e.state = 'open'))
          AND (o.stage <> 'finish' OR NOT EXISTS (
                   SELECT FROM portcullis.batch e
                   WHERE e.run_id = r.run_id AND e.state IN ('open', 'dead') AND e.stage IN ('plan', 'enforce', 'notice', 'settle')))
        ORDER BY o.urgency, o.batch_id LIMIT w.size
    ) b
    WHERE r.has_open_batches
      -- What was cancelled is settled all the same: that ends no session and sends nothing.
      AND (NOT portcullis.is_paused(r.run_id, r.organization_id, w.queue) OR (r.state = 'cancelled' AND w.queue = 'enforce'))
), chosen AS MATERIALIZED (
    SELECT c.batch_id, c.place, c.place <= c.half AS goes_first FROM candidates c WHERE c.is_free ORDER BY c.place, c.batch_id LIMIT $3::integer
), ours AS MATERIALIZED (
    -- What somebody works on at this moment is passed over: a look neither waits for a batch nor gets into a deadlock with a lift.
    SELECT b.batch_id, c.place, c.goes_first, b.leased_until IS NOT NULL AS was_held
    FROM chosen c
    JOIN portcullis.batch b ON b.batch_id = c.batch_id
    WHERE b.state = 'open' AND (b.leased_until IS NULL OR b.leased_until < now())
    FOR UPDATE OF b SKIP LOCKED
)
UPDATE portcullis.batch b
SET hinted_at = now(), hints = b.hints + 1, leased_until = NULL
FROM ours c
WHERE b.batch_id = c.batch_id
RETURNING b.run_id, b.batch_id, b.token, b.stage, c.place, c.goes_first, b.hints, c.was_held
