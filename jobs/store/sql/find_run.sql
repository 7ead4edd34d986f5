-- One run: whose it is, and whether it has something left to do.
--
-- $1  bigint  run
SELECT r.organization_id, r.state, r.has_open_batches FROM portcullis.run r WHERE r.run_id = $1
