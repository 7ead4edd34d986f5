-- Where the audit and what else the database knows do not agree, as far as rows of their own can tell; the first few.
--
-- $1  bigint  run; null: all of them
WITH wanted AS (
    -- Runs from before the audit have no entry that says who required them.
    SELECT r.run_id, r.epoch, r.organization_id, r.state, r.requested_by FROM portcullis.run r
    WHERE ($1::bigint IS NULL OR r.run_id = $1::bigint)
      AND r.run_id >= (SELECT min(e.run_id) FROM portcullis.audit_entry e WHERE e.run_id > 0 AND e.effect = 'required')
), begun AS (
    SELECT e.run_id, count(*) AS entries, min(e.facts ->> 'epoch')::bigint AS epoch, min(e.facts ->> 'organization') AS organization
    FROM portcullis.audit_entry e WHERE e.effect = 'required' AND ($1::bigint IS NULL OR e.run_id = $1::bigint) GROUP BY e.run_id
), of_batch AS (
    SELECT e.run_id, e.effect, e.batch_id, count(*) AS entries, max(e.facts::text)::jsonb AS facts
    FROM portcullis.audit_entry e
    WHERE e.effect IN ('enforced', 'notified') AND ($1::bigint IS NULL OR e.run_id = $1::bigint)
    GROUP BY e.run_id, e.effect, e.batch_id
), unlike AS (
    SELECT w.run_id, 'missing' AS kind, 'nothing says who required it' AS words
    FROM wanted w WHERE NOT EXISTS (SELECT FROM begun b WHERE b.run_id = w.run_id)
    UNION ALL
    SELECT b.run_id, 'inserted', 'it was required twice' FROM begun b WHERE b.entries > 1
    UNION ALL
    SELECT b.run_id, 'disagrees', 'there is an entry, and no such run'
    FROM begun b WHERE NOT EXISTS (SELECT FROM portcullis.run r WHERE r.run_id = b.run_id)
    UNION ALL
    SELECT b.run_id, 'disagrees', 'organization or epoch are not those of the run'
    FROM begun b JOIN wanted w ON w.run_id = b.run_id WHERE (b.epoch, b.organization) IS DISTINCT FROM (w.epoch, w.organization_id::text)
    UNION ALL
    SELECT w.run_id, 'missing', format('it is %s, and no entry says so', w.state)
    FROM wanted w
    WHERE w.state <> 'running' AND NOT EXISTS (
        SELECT FROM portcullis.audit_entry e
        WHERE e.run_id = w.run_id AND e.effect = CASE w.state WHEN 'done' THEN 'finished' ELSE 'stopped' END)
    UNION ALL
    SELECT b.run_id, 'missing', format('no entry says what %s batch %s did', b.stage, b.batch_id)
    FROM portcullis.batch b
    JOIN wanted w ON w.run_id = b.run_id
    WHERE ((b.stage = 'enforce' AND b.state = 'done')
           OR (b.queue = 'notify' AND b.state IN ('done', 'cancelled') AND b.done_at IS NOT NULL
               AND b.accepted + b.refused + b.uncertain > 0))
      AND NOT EXISTS (
          SELECT FROM of_batch o
          WHERE o.run_id = b.run_id AND o.batch_id = b.batch_id
            AND o.effect = CASE b.stage WHEN 'enforce' THEN 'enforced' ELSE 'notified' END)
    UNION ALL
    SELECT o.run_id, 'inserted', format('%s entries say what batch %s did', o.entries, o.batch_id)
    FROM of_batch o WHERE o.effect = 'enforced' AND o.entries > 1
    UNION ALL
    SELECT o.run_id, 'disagrees', format('batch %s counts otherwise than its entry', o.batch_id)
    FROM of_batch o
    LEFT JOIN portcullis.batch b ON b.batch_id = o.batch_id AND b.run_id = o.run_id
    WHERE o.effect = 'enforced' AND EXISTS (SELECT FROM wanted w WHERE w.run_id = o.run_id)
      AND (b.state, b.members, b.unprotected, b.protected, b.sso, b.exempt, b.inactive, b.sessions_ended) IS DISTINCT FROM
          ('done', (o.facts ->> 'members')::integer, (o.facts ->> 'unprotected')::integer, (o.facts ->> 'protected')::integer,
           (o.facts ->> 'sso')::integer, (o.facts ->> 'exempt')::integer, (o.facts ->> 'inactive')::integer,
           (o.facts ->> 'sessions_ended')::bigint)
)
SELECT u.run_id, u.kind, u.words FROM unlike u ORDER BY u.run_id, u.kind, u.words LIMIT 5
