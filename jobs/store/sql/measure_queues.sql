-- What came into each queue and what left it of late, in batches; letters are what their batches counted.
--
-- $1  interval  how far back
SELECT q.queue,
       (SELECT count(*) FROM portcullis.batch b WHERE b.made_at > now() - $1::interval AND b.queue = q.queue AND b.stage <> 'finish') AS made,
       ended.batches AS ended, ended.letters, ended.members
FROM (VALUES ('enforce'), ('notify')) AS q (queue)
CROSS JOIN LATERAL (
    SELECT count(*) AS batches, coalesce(sum(b.accepted + b.refused + b.uncertain), 0)::bigint AS letters,
           coalesce(sum(b.members) FILTER (WHERE b.stage = 'enforce'), 0)::bigint AS members
    FROM portcullis.batch b
    WHERE b.done_at > now() - $1::interval AND b.queue = q.queue AND b.stage <> 'finish' AND b.state = 'done'
) ended
ORDER BY q.queue
