-- Where entries about orders and the list of orders do not agree; the first few.
WITH entry AS (
    SELECT e.run_id, (e.facts ->> 'action')::bigint AS action, e.facts::jsonb AS facts FROM portcullis.audit_entry e WHERE e.effect = 'ordered'
), unlike AS (
    -- Orders from before the audit have no entry.
    SELECT coalesce(a.run_id, 0) AS run_id, 'missing' AS kind, format('order %s has no entry', a.action_id) AS words
    FROM portcullis.action a
    WHERE a.action_id >= (SELECT min(e.action) FROM entry e) AND NOT EXISTS (SELECT FROM entry e WHERE e.action = a.action_id)
    UNION ALL
    SELECT min(e.run_id), 'inserted', format('%s entries are about order %s', count(*), e.action)
    FROM entry e GROUP BY e.action HAVING count(*) > 1
    UNION ALL
    SELECT e.run_id, 'disagrees', format('order %s is not as its entry says', e.action)
    FROM entry e
    LEFT JOIN portcullis.action a ON a.action_id = e.action
    WHERE coalesce(a.run_id, 0) <> e.run_id
       OR jsonb_build_object('action', a.action_id, 'actor', a.actor, 'via', a.via, 'verb', a.verb, 'scope', a.scope,
                             'subject', a.subject, 'reason', a.reason) <> e.facts
)
SELECT u.run_id, u.kind, u.words FROM unlike u ORDER BY u.run_id, u.kind = 'disagrees', u.kind, u.words LIMIT 5
