-- What the auditor found when it last looked, for metrics, and how long ago that was.
SELECT a.invariant, a.found, portcullis.seconds_since(a.looked_at) AS age_seconds FROM portcullis.audit_result a ORDER BY a.invariant
