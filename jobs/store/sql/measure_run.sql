-- How fast a run has been of late: what its batches counted that were finished within that time.
--
-- $1  bigint    run
-- $2  interval  how far back
SELECT coalesce(sum(b.members) FILTER (WHERE b.stage = 'enforce'), 0)::bigint AS members,
       coalesce(sum(b.accepted + b.refused + b.uncertain) FILTER (WHERE b.queue = 'notify'), 0)::bigint AS letters
FROM portcullis.batch b
WHERE b.done_at > now() - $2::interval AND b.run_id = $1 AND b.state = 'done'
