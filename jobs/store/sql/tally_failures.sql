-- Count anew what of one batch's notices did not arrive.
--
-- $1  bigint  batch
-- $2  bigint  token it must have: whoever claims it meanwhile counts later, and knows more
UPDATE portcullis.batch b SET failures = portcullis.failures_of(b.run_id, b.batch_id, b.low, b.high)
WHERE b.batch_id = $1 AND b.token = $2 AND b.stage IN ('notice', 'deferred')
