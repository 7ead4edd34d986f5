-- The processes of a host that were heard of in the last ten minutes, the latest first.
--
-- $1  text  host
SELECT p.process, p.kind, p.loop_lag_seconds, portcullis.seconds_since(p.seen_at) AS silent_seconds
FROM portcullis.process p
WHERE starts_with(p.process, $1 || ':') AND p.seen_at > now() - interval '10 minutes'
ORDER BY p.seen_at DESC, p.process
