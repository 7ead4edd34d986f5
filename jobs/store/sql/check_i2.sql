-- I2: nobody unprotected has a session from before their run's end. One run at a time, any of those that stand.
SELECT count(*) AS found, 'sessions of unprotected members outlived run ' || min(one.run_id) AS words
FROM (
    SELECT r.run_id, r.organization_id, r.finished_at, p.exempt_kinds
    FROM portcullis.run r
    JOIN portcullis.policy p ON p.organization_id = r.organization_id AND p.required AND p.epoch = r.epoch
    WHERE r.state = 'done' ORDER BY random() LIMIT 1
) one
JOIN directory.member m ON m.organization_id = one.organization_id
JOIN directory.session s ON s.user_id = m.user_id AND (s.organization_id IS NULL OR s.organization_id = one.organization_id)
WHERE s.started_at < one.finished_at AND s.started_with IS DISTINCT FROM 'sso'
  AND portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, one.exempt_kinds) = 'unprotected'
  AND NOT EXISTS (SELECT FROM portcullis.joiner g
                  WHERE g.organization_id = one.organization_id AND g.user_id = m.user_id AND g.ends_at > now())
