-- How many dead batches an order would act on.
--
-- $1  bigint  batch; null: any
-- $2  bigint  run; null: any
-- $3  text    fingerprint; null: any
-- $4  text[]  stages that can be given up
SELECT count(*) AS batches, count(DISTINCT b.run_id) AS runs, coalesce(sum(b.owed + b.sending + b.deferred), 0)::bigint AS letters,
       count(*) FILTER (WHERE portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)) AS replayable,
       count(*) FILTER (WHERE b.stage = ANY ($4::text[])) AS discardable
FROM portcullis.batch b
JOIN portcullis.run r ON r.run_id = b.run_id
JOIN portcullis.policy p ON p.organization_id = r.organization_id
WHERE b.state = 'dead'
  AND ($1::bigint IS NULL OR b.batch_id = $1::bigint)
  AND ($2::bigint IS NULL OR b.run_id = $2::bigint)
  AND ($3::text IS NULL OR b.fingerprint = $3::text)
