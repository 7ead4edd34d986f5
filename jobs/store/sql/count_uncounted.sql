-- How many of a run's batches have letters that did not arrive and don't say themselves what was counted of them.
--
-- $1  bigint  run
SELECT count(*) AS batches
FROM portcullis.batch b
WHERE b.run_id = $1 AND b.stage IN ('notice', 'deferred') AND b.failures IS NULL
  AND b.refused + b.uncertain + b.deferred + b.suppressed > 0
