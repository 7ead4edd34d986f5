-- Notices of a run that were refused, are uncertain, put off, suppressed or to be tried again, by why and by mail domain; each group with
-- one member of its latest batch. Batches say themselves what was counted of them; of those that don't, the latest are looked into.
--
-- $1  bigint   run
-- $2  integer  batches to look into, at most
-- $3  integer  groups at most
WITH said AS MATERIALIZED (
    SELECT b.batch_id, b.state, b.low, b.high, b.failures FROM portcullis.batch b
    WHERE b.run_id = $1 AND b.stage IN ('notice', 'deferred') AND b.failures IS NOT NULL
), looked_into AS MATERIALIZED (
    SELECT b.batch_id, b.state, b.low, b.high FROM portcullis.batch b
    WHERE b.run_id = $1 AND b.stage IN ('notice', 'deferred') AND b.failures IS NULL
      AND (b.refused + b.uncertain + b.deferred + b.suppressed > 0 OR (b.state = 'open' AND b.token > 0))
    ORDER BY (b.refused + b.uncertain + b.deferred + b.suppressed > 0 OR b.error IS NOT NULL) DESC, b.batch_id DESC LIMIT $2::integer
), known AS MATERIALIZED (
    SELECT s.* FROM said s
    UNION ALL
    SELECT l.*, portcullis.failures_of($1, l.batch_id, l.low, l.high) FROM looked_into l
), grouped AS MATERIALIZED (
    SELECT f.state, f.reason, f.domain, sum(f.letters)::bigint AS letters, max(f.last_at) AS last_at, max(k.batch_id) AS batch_id
    FROM known k
    CROSS JOIN LATERAL jsonb_to_recordset(k.failures) AS f (state text, reason text, domain text, letters bigint, last_at timestamptz)
    -- What was to be tried again when its batch was cancelled is not any more.
    WHERE k.state <> 'cancelled' OR f.state NOT IN ('owed', 'deferred')
    GROUP BY f.state, f.reason, f.domain
    ORDER BY sum(f.letters) DESC, f.state LIMIT $3::integer
)
SELECT g.state, g.reason, g.domain, g.letters, g.last_at, (
    SELECT d.member_id::text FROM portcullis.delivery d
    WHERE d.run_id = $1 AND d.slot = 'notice' AND d.batch_id = k.batch_id AND d.state = g.state
      AND (g.reason IS NULL OR portcullis.alike(coalesce(d.reason, '')) = g.reason)
      AND (g.domain IS NULL OR lower(split_part(coalesce(d.recipient, ''), '@', 2)) = g.domain)
      AND d.member_id >= coalesce(k.low, (SELECT m.member_id FROM portcullis.delivery m WHERE m.run_id = $1 AND m.slot = 'notice'
                                          ORDER BY m.member_id LIMIT 1))
      AND d.member_id <= coalesce(k.high, (SELECT m.member_id FROM portcullis.delivery m WHERE m.run_id = $1 AND m.slot = 'notice'
                                           ORDER BY m.member_id DESC LIMIT 1))
    LIMIT 1) AS example
FROM grouped g
JOIN known k ON k.batch_id = g.batch_id
ORDER BY g.letters DESC, g.state
