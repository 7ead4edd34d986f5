-- Runs and letters in numbers, for metrics: runs of which something is open, what they owe, who leads, what was put aside.
--
-- Messages in quarantine and addresses on the list are counted up to 100,000.
WITH open AS MATERIALIZED (
    SELECT r.run_id, r.state,
           CASE WHEN r.state = 'cancelled' THEN 'settling'
                WHEN r.state = 'done' THEN 'lingering'
                WHEN r.effective_at > now() THEN 'scheduled'
                WHEN portcullis.is_paused(r.run_id, r.organization_id, 'enforce')
                     AND portcullis.is_paused(r.run_id, r.organization_id, 'notify') THEN 'paused'
                ELSE 'running' END AS standing,
           portcullis.seconds_since(coalesce(r.effective_at, r.requested_at)) AS seconds,
           l.owed, l.sending, l.deferred
    FROM portcullis.run r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(b.owed), 0) AS owed, coalesce(sum(b.sending), 0) AS sending, coalesce(sum(b.deferred), 0) AS deferred
        FROM portcullis.batch b WHERE b.run_id = r.run_id AND b.queue = 'notify' AND b.state = 'open') l
    WHERE r.has_open_batches
)
SELECT count(*) FILTER (WHERE o.standing = 'running') AS running,
       count(*) FILTER (WHERE o.standing = 'paused') AS paused,
       count(*) FILTER (WHERE o.standing = 'scheduled') AS scheduled,
       count(*) FILTER (WHERE o.standing = 'settling') AS settling,
       count(*) FILTER (WHERE o.standing = 'lingering') AS lingering,
       coalesce(max(o.seconds) FILTER (WHERE o.standing IN ('running', 'paused')), 0) AS oldest_seconds,
       coalesce(sum(o.owed) FILTER (WHERE o.state <> 'cancelled'), 0)::bigint AS letters_owed,
       coalesce(sum(o.sending), 0)::bigint AS letters_sending,
       coalesce(sum(o.deferred) FILTER (WHERE o.state <> 'cancelled'), 0)::bigint AS letters_deferred,
       (SELECT count(*) FROM portcullis.leader l WHERE l.role = 'conductor' AND l.leased_until > now()) > 0 AS is_led,
       coalesce((SELECT l.term FROM portcullis.leader l WHERE l.role = 'conductor'), 0) AS term,
       (SELECT count(*) FROM (SELECT FROM portcullis.quarantine LIMIT 100000) m) AS quarantined,
       (SELECT count(*) FROM (SELECT FROM portcullis.suppression LIMIT 100000) m) AS suppressed
FROM open o
