-- I3: the gate turns unprotected members away from the commit of the switch on. A sample of one batch's members.
SELECT count(*) AS found, 'unprotected members of run ' || min(one.run_id) || ' would be let in' AS words
FROM (
    SELECT r.run_id, r.organization_id, p.exempt_kinds, b.low, b.high
    FROM portcullis.run r
    JOIN portcullis.policy p ON p.organization_id = r.organization_id AND p.required AND p.epoch = r.epoch
         AND (p.effective_at IS NULL OR p.effective_at <= now())
    JOIN LATERAL (SELECT e.low, e.high FROM portcullis.batch e
                  WHERE e.run_id = r.run_id AND e.stage = 'enforce' ORDER BY random() LIMIT 1) b ON true
    ORDER BY random() LIMIT 1
) one
CROSS JOIN LATERAL (
    SELECT m.user_id FROM directory.member m
    WHERE m.organization_id = one.organization_id AND (one.low IS NULL OR m.user_id >= one.low)
      AND portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, one.exempt_kinds) = 'unprotected'
      AND NOT EXISTS (SELECT FROM portcullis.joiner g
                      WHERE g.organization_id = one.organization_id AND g.user_id = m.user_id AND g.ends_at > now())
    ORDER BY m.user_id LIMIT 100) someone
WHERE portcullis.gate(someone.user_id, one.organization_id, 'password') = 'none'
