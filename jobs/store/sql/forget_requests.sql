-- Forget consumed requests, silent workers, and addresses that have not been suppressed for a month: they are people's, and of no more use.
-- A request's message expires after minutes; its id is kept for a week.
WITH workers AS (
    DELETE FROM portcullis.worker w WHERE w.seen_at < now() - interval '1 hour'
), addresses AS (
    DELETE FROM portcullis.suppression s WHERE s.expires_at < now() - interval '30 days'
)
DELETE FROM portcullis.request q WHERE q.consumed_at < now() - interval '7 days'
