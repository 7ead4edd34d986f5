-- What is stopped, for metrics: pauses by scope, and breakers that let nothing through, of relays and kinds of letters by name.
--
-- A relay's breaker belongs to one mailer process; what is long past its time was left behind by one that was killed.
SELECT 'pause' AS what, p.scope, '' AS subject, count(*) AS times FROM portcullis.pause p GROUP BY p.scope
UNION ALL
SELECT 'breaker', b.scope, CASE WHEN b.scope = 'domain' THEN '' ELSE b.subject END, count(*)
FROM portcullis.breaker b WHERE b.state IN ('open', 'probing') AND (b.scope <> 'relay' OR b.retry_at > now() - interval '10 minutes')
GROUP BY 2, 3
ORDER BY 1, 2, 3
