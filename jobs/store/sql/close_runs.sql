-- Take runs that are over and have nothing open out of the conductor's sight.
UPDATE portcullis.run r SET has_open_batches = false
WHERE r.has_open_batches AND r.state <> 'running'
  AND NOT EXISTS (SELECT FROM portcullis.batch b WHERE b.run_id = r.run_id AND b.state = 'open')
RETURNING r.run_id
