-- Forget consumed requests, silent workers, processes that ended without a word, and addresses that have not been suppressed for a month:
-- they are people's, and of no more use. A request's message expires after minutes; its id is kept for a week. A process is kept for a day:
-- one that was cut off for shorter may tell again what it told last.
WITH workers AS (
    DELETE FROM portcullis.worker w WHERE w.seen_at < now() - interval '1 hour'
), processes AS (
    DELETE FROM portcullis.process p WHERE p.seen_at < now() - interval '1 day'
), addresses AS (
    DELETE FROM portcullis.suppression s WHERE s.expires_at < now() - interval '30 days'
)
DELETE FROM portcullis.request q WHERE q.consumed_at < now() - interval '7 days'
