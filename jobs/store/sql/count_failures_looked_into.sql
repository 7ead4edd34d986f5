-- How many of a run's batches of letters have some that did not arrive, or may have.
--
-- $1  bigint  run
SELECT count(*) AS batches
FROM portcullis.batch b
WHERE b.run_id = $1 AND b.stage IN ('notice', 'deferred')
  AND (b.refused + b.uncertain + b.deferred + b.suppressed > 0 OR (b.state = 'open' AND b.token > 0))
