-- The batch of a run that has waited longest for being finished, among those that could go on.
--
-- $1  bigint  run
--
-- No row: nothing is open but the finish itself.
SELECT b.batch_id, b.stage, b.attempts, b.next_at, b.made_at, b.holder, b.error, b.hints,
       coalesce(b.leased_until > now(), false) AS is_held,
       extract(epoch FROM b.leased_until - now())::double precision AS lease_left_seconds
FROM portcullis.batch b
WHERE b.run_id = $1 AND b.state = 'open' AND b.stage <> 'finish'
ORDER BY b.urgency, b.made_at, b.batch_id LIMIT 1
