-- Worker processes that announced themselves, and the conductor that leads, if one does.
SELECT w.worker, w.queue, w.threads, w.version, extract(epoch FROM now() - w.seen_at)::double precision AS silent_seconds
FROM portcullis.worker w
UNION ALL
SELECT l.holder, l.role, 1, NULL, extract(epoch FROM now() - l.leased_until)::double precision
FROM portcullis.leader l WHERE l.role = 'conductor' AND l.leased_until > now()
ORDER BY queue, worker
