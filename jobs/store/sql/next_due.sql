-- How long until the next batch falls due that waits for its time, and for nobody's word; null: none does.
SELECT (extract(epoch FROM min(b.next_at) - now()))::double precision
FROM portcullis.run r
JOIN portcullis.batch b ON b.run_id = r.run_id AND b.state = 'open' AND b.next_at > now()
WHERE r.has_open_batches AND NOT portcullis.is_paused(r.run_id, r.organization_id, b.queue)
