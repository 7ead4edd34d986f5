-- Forget consumed requests and silent workers. A request's message expires after minutes; its id is kept for a week.
WITH workers AS (DELETE FROM portcullis.worker w WHERE w.seen_at < now() - interval '1 hour')
DELETE FROM portcullis.request q WHERE q.consumed_at < now() - interval '7 days'
