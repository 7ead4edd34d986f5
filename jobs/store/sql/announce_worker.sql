-- Say that a worker process is alive.
--
-- $1  text     worker
-- $2  text     queue
-- $3  integer  threads
-- $4  text     version
INSERT INTO portcullis.worker AS w (worker, queue, threads, version) VALUES ($1, $2, $3::integer, $4)
ON CONFLICT (worker) DO UPDATE SET seen_at = now()
