-- One run for somebody who watches: its status, how far its batches are, and whether anybody is there to do the rest.
--
-- $1  bigint  run
--
-- Raises SQLSTATE PC005 for an unknown run.
SELECT portcullis.run_status($1) AS status, batches.enforced, batches.to_enforce,
       EXISTS (SELECT FROM portcullis.leader l WHERE l.role = 'conductor' AND l.leased_until > now()) AS has_conductor,
       EXISTS (SELECT FROM portcullis.worker w WHERE w.queue = 'enforce' AND w.seen_at > now() - interval '30 seconds') AS has_enforcer,
       EXISTS (SELECT FROM portcullis.worker w WHERE w.queue = 'notify' AND w.seen_at > now() - interval '30 seconds') AS has_mailer
FROM (
    SELECT count(*) FILTER (WHERE b.state = 'done') AS enforced, count(*) AS to_enforce
    FROM portcullis.batch b WHERE b.run_id = $1 AND b.stage = 'enforce'
) batches
