-- Forget consumed requests, silent workers, processes that ended without a word, and addresses that have not been suppressed for a month:
-- they are people's, and of no more use. A request's message expires after minutes; its id is kept for a week. A process is kept for a day:
-- one that was cut off for shorter may tell again what it told last. What breakers knew of a run goes when the run is over for a week; what
-- people may want to look up of them, after a month.
WITH workers AS (
    DELETE FROM portcullis.worker w WHERE w.seen_at < now() - interval '1 hour'
), processes AS (
    DELETE FROM portcullis.process p WHERE p.seen_at < now() - interval '1 day'
), addresses AS (
    DELETE FROM portcullis.suppression s WHERE s.expires_at < now() - interval '30 days'
), canaries AS (
    DELETE FROM portcullis.canary c
    WHERE c.run_id <> 0 AND c.changed_at < now() - interval '7 days'
      AND NOT EXISTS (SELECT FROM portcullis.run r WHERE r.run_id = c.run_id AND r.has_open_batches)
), breakers AS (
    DELETE FROM portcullis.breaker b
    WHERE b.scope = 'letter' AND b.seen_by <> '' AND b.state = 'closed' AND b.changed_at < now() - interval '30 days'
      AND (b.held_closed_until IS NULL OR b.held_closed_until < now())
)
DELETE FROM portcullis.request q WHERE q.consumed_at < now() - interval '7 days'
