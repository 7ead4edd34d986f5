-- I6: members judged are as many as verdicts and as letters.
SELECT count(*) AS found, 'sums of run ' || min(s.run_id) || ' do not agree' AS words
FROM (
    SELECT r.run_id
    FROM portcullis.run r
    JOIN portcullis.batch b ON b.run_id = r.run_id
    WHERE r.state = 'running' OR r.finished_at > now() - interval '7 days'
    GROUP BY r.run_id
    HAVING sum(b.members) <> sum(b.unprotected + b.protected + b.sso + b.exempt + b.inactive)
        OR sum(b.members) <> coalesce(sum(b.owed + b.sending + b.deferred + b.accepted + b.refused + b.uncertain + b.suppressed + b.cancelled)
                                      FILTER (WHERE b.stage IN ('notice', 'deferred')), 0)
) s
