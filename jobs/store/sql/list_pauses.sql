-- What is paused, the widest first, and how many runs with something left to do each one holds up.
SELECT p.scope, p.subject, p.paused_by, p.reason, p.paused_at, (
           SELECT count(*) FROM portcullis.run r
           WHERE r.has_open_batches
             AND (p.scope = 'everything'
                  OR (p.scope = 'run' AND p.subject = r.run_id::text)
                  OR (p.scope = 'organization' AND p.subject = r.organization_id::text)
                  OR (p.scope = 'queue' AND EXISTS (
                          SELECT FROM portcullis.batch b WHERE b.run_id = r.run_id AND b.queue = p.subject AND b.state = 'open')))
       ) AS waiting_runs
FROM portcullis.pause p
ORDER BY array_position(ARRAY['everything', 'queue', 'organization', 'run'], p.scope), p.paused_at
