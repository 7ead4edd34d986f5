-- Dead batches by stage and cause, the latest cause first, each with its latest batch.
--
-- $1  bigint   run; null: all
-- $2  integer  groups at most
-- $3  text[]   stages that can be given up
SELECT g.fingerprint, b.stage, g.batches, g.runs, g.letters, g.first_died_at, g.last_died_at, b.batch_id, b.error,
       b.stage = ANY ($3::text[]) AS can_discard
FROM (
    SELECT d.fingerprint, count(*) AS batches, count(DISTINCT d.run_id) AS runs, sum(d.owed + d.sending + d.deferred)::bigint AS letters,
           min(d.done_at) AS first_died_at, max(d.done_at) AS last_died_at, max(d.batch_id) AS batch_id
    FROM portcullis.batch d
    WHERE d.state = 'dead' AND ($1::bigint IS NULL OR d.run_id = $1::bigint)
    GROUP BY d.fingerprint
) g
JOIN portcullis.batch b ON b.batch_id = g.batch_id
ORDER BY g.last_died_at DESC NULLS LAST, g.fingerprint LIMIT $2::integer
