-- Organizations whose requirement does not stand as the last entry about it says; the first few.
WITH turn AS (
    SELECT DISTINCT ON (e.facts ->> 'organization') e.run_id, e.effect, e.facts ->> 'organization' AS organization, e.facts
    FROM portcullis.audit_entry e WHERE e.effect IN ('required', 'changed', 'lifted')
    ORDER BY e.facts ->> 'organization', e.entry_id DESC
)
SELECT t.run_id, 'disagrees' AS kind, format('the requirement of organization %s does not stand as its entry says', t.organization) AS words
FROM turn t
LEFT JOIN portcullis.policy p ON p.organization_id::text = t.organization
WHERE p.required IS DISTINCT FROM (t.effect <> 'lifted')
   OR p.epoch IS DISTINCT FROM CASE WHEN t.effect = 'changed' THEN (SELECT r.epoch FROM portcullis.run r WHERE r.run_id = t.run_id)
                                    ELSE (t.facts ->> 'epoch')::bigint END
   OR (p.required AND (to_jsonb(p.exempt_kinds), p.effective_at, p.grace)
           IS DISTINCT FROM ((t.facts -> 'exempt_kinds')::jsonb, (t.facts ->> 'effective_at')::timestamptz, (t.facts ->> 'grace')::interval))
ORDER BY t.run_id LIMIT 5
