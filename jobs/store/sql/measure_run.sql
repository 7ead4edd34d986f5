-- How fast a run has been: what its batches counted that were finished of late, and all letters since its sessions had ended.
--
-- $1  bigint    run
-- $2  interval  how far back
SELECT coalesce(sum(b.members) FILTER (WHERE b.stage = 'enforce' AND b.done_at > now() - $2::interval), 0)::bigint AS members,
       coalesce(sum(b.accepted + b.refused + b.uncertain) FILTER (WHERE b.queue = 'notify' AND b.done_at > now() - $2::interval), 0)::bigint
           AS letters,
       coalesce(sum(b.accepted + b.refused + b.uncertain) FILTER (WHERE b.queue = 'notify'), 0)::bigint AS letters_in_all,
       coalesce(extract(epoch FROM least(now(), max(b.last_letter_at) + interval '1 second')
                             - max(b.done_at) FILTER (WHERE b.stage = 'enforce')), 0)::double precision AS letters_seconds
FROM portcullis.batch b
WHERE b.run_id = $1
