-- A run by its stages: batches by state, when each stage began and was last moved on, what it counts.
--
-- $1  bigint  run
SELECT b.stage, count(*) AS batches,
       count(*) FILTER (WHERE b.state = 'open') AS open, count(*) FILTER (WHERE b.state = 'done') AS done,
       count(*) FILTER (WHERE b.state = 'dead') AS dead, count(*) FILTER (WHERE b.state = 'cancelled') AS cancelled,
       count(*) FILTER (WHERE b.state = 'open' AND b.leased_until > now()) AS held,
       min(b.made_at) AS made_at, min(b.done_at) FILTER (WHERE b.state = 'done') AS first_done_at,
       max(b.done_at) FILTER (WHERE b.state = 'done') AS last_done_at, max(b.last_letter_at) AS last_letter_at,
       sum(b.members)::bigint AS members, sum(b.sessions_ended)::bigint AS sessions_ended,
       sum(b.owed + b.sending + b.deferred)::bigint AS letters_left, sum(b.accepted)::bigint AS accepted
FROM portcullis.batch b WHERE b.run_id = $1
GROUP BY b.stage
