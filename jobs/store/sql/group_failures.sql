-- Letters of a run that were refused, are uncertain, put off, suppressed or to be tried again, by why and by mail domain: those of its
-- latest batches with any.
--
-- $1  bigint   run
-- $2  integer  batches to look into, at most
-- $3  integer  groups at most
WITH looked_into AS MATERIALIZED (
    SELECT b.batch_id, b.low, b.high
    FROM portcullis.batch b
    WHERE b.run_id = $1 AND b.stage IN ('notice', 'deferred')
      AND (b.refused + b.uncertain + b.deferred + b.suppressed > 0 OR (b.state = 'open' AND b.token > 0))
    ORDER BY b.batch_id DESC LIMIT $2::integer
)
SELECT d.state, left(coalesce(d.reason, ''), 200) AS reason, lower(split_part(coalesce(d.recipient, ''), '@', 2)) AS domain,
       count(*) AS letters, max(d.changed_at) AS last_at, min(d.member_id::text) AS example
FROM looked_into l
CROSS JOIN LATERAL (
    SELECT d.state, d.reason, d.recipient, d.changed_at, d.member_id
    FROM portcullis.delivery d
    WHERE d.run_id = $1 AND d.slot = 'notice' AND d.batch_id = l.batch_id AND (d.state IN ('refused', 'uncertain', 'deferred', 'suppressed') OR (d.state = 'owed' AND d.reason IS NOT NULL))
      AND d.member_id >= coalesce(l.low, (SELECT m.member_id FROM portcullis.delivery m WHERE m.run_id = $1 AND m.slot = 'notice'
                                          ORDER BY m.member_id LIMIT 1))
      AND d.member_id <= coalesce(l.high, (SELECT m.member_id FROM portcullis.delivery m WHERE m.run_id = $1 AND m.slot = 'notice'
                                           ORDER BY m.member_id DESC LIMIT 1))
    OFFSET 0  -- batch by batch, through the index: joined, the whole ledger is read
) d
GROUP BY d.state, left(coalesce(d.reason, ''), 200), lower(split_part(coalesce(d.recipient, ''), '@', 2))
ORDER BY count(*) DESC, d.state LIMIT $3::integer
