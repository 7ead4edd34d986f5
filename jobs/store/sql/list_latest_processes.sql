-- Of each kind the process of a host that was heard of last, in the last ten minutes.
--
-- $1  text  host
SELECT DISTINCT ON (p.kind) p.process, p.kind, p.loop_lag_seconds, portcullis.seconds_since(p.seen_at) AS silent_seconds
FROM portcullis.process p
WHERE starts_with(p.process, $1 || ':') AND p.seen_at > now() - interval '10 minutes'
ORDER BY p.kind, p.seen_at DESC
