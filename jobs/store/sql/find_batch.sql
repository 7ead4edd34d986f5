-- One batch: its state, and that of its run.
--
-- $1  bigint  batch
SELECT b.batch_id, b.run_id, b.stage, b.state, r.state AS run_state
FROM portcullis.batch b
JOIN portcullis.run r ON r.run_id = b.run_id
WHERE b.batch_id = $1
