-- Where entries about second factors and the list of such events do not agree; the first few.
--
-- Of whoever was erased it can't be said what they typed; that they were must be so: their pseudonym leads nowhere.
WITH entry AS (
    SELECT (e.facts ->> 'event')::bigint AS event, e.facts::jsonb AS facts FROM portcullis.audit_entry e WHERE e.effect = 'factor'
), event AS (
    -- Not from before such events had entries.
    SELECT a.* FROM portcullis.factor_audit a WHERE a.salt IS NOT NULL OR a.audit_id >= (SELECT min(e.event) FROM entry e)
), unlike AS (
    SELECT 'missing' AS kind, format('event %s of a second factor has no entry', a.audit_id) AS words
    FROM event a WHERE NOT EXISTS (SELECT FROM entry e WHERE e.event = a.audit_id)
    UNION ALL
    SELECT 'inserted', format('%s entries are about event %s of a second factor', count(*), e.event)
    FROM entry e GROUP BY e.event HAVING count(*) > 1
    UNION ALL
    SELECT 'disagrees', format('event %s of a second factor is not as its entry says', e.event)
    FROM entry e
    LEFT JOIN portcullis.factor_audit a ON a.audit_id = e.event
    LEFT JOIN portcullis.audit_person w ON w.user_id = a.user_id
    LEFT JOIN portcullis.audit_person d ON d.user_id = a.done_by
    WHERE jsonb_strip_nulls(jsonb_build_object(
              'event', a.audit_id, 'what', a.effect, 'at', (extract(epoch FROM a.happened_at) * 1000000)::bigint,
              'organization', a.organization_id::text, 'factor', a.factor_id, 'kind', a.kind, 'override', a.is_override,
              'sessions_ended', a.sessions_ended)) IS DISTINCT FROM e.facts - 'whose' - 'by' - 'details'
       OR CASE WHEN a.user_id IS NOT NULL
               THEN (w.subject, portcullis.factor_details(a.salt, a.reason, a.origin))
                    IS DISTINCT FROM ((e.facts ->> 'whose')::uuid, e.facts ->> 'details')
               ELSE EXISTS (SELECT FROM portcullis.audit_person p WHERE p.subject = (e.facts ->> 'whose')::uuid) END
       OR CASE WHEN a.done_by IS NOT NULL
               THEN d.subject IS DISTINCT FROM (e.facts ->> 'by')::uuid
               ELSE EXISTS (SELECT FROM portcullis.audit_person p WHERE p.subject = (e.facts ->> 'by')::uuid) END
)
SELECT 0::bigint AS run_id, u.kind, u.words FROM unlike u ORDER BY u.kind = 'disagrees', u.kind, u.words LIMIT 5
