-- Where the audit and what else the database knows do not agree, as far as rows of their own can tell; the first few.
--
-- $1  bigint  run; null: all of them
WITH wanted AS (
    -- Runs from before the audit have no entry that says who required them.
    SELECT r.run_id, r.epoch, r.organization_id, r.state, r.requested_by, r.reason, r.stopped_because, r.totals, r.forgotten_at
    FROM portcullis.run r
    WHERE ($1::bigint IS NULL OR r.run_id = $1::bigint)
      AND r.run_id >= (SELECT min(e.run_id) FROM portcullis.audit_entry e WHERE e.run_id > 0 AND e.effect = 'required')
), begun AS (
    SELECT e.run_id, count(*) AS entries, min(e.facts ->> 'epoch')::bigint AS epoch, min(e.facts ->> 'organization') AS organization,
           min(e.facts ->> 'by')::uuid AS by, min(e.facts ->> 'reason') AS reason
    FROM portcullis.audit_entry e WHERE e.effect = 'required' AND ($1::bigint IS NULL OR e.run_id = $1::bigint) GROUP BY e.run_id
), ended AS (
    SELECT e.run_id, e.effect, e.facts::jsonb AS facts
    FROM portcullis.audit_entry e
    WHERE e.effect IN ('finished', 'stopped', 'forgotten') AND ($1::bigint IS NULL OR e.run_id = $1::bigint)
), bounced AS (
    SELECT e.batch_id, e.entry_id, e.facts ->> 'before' AS before
    FROM portcullis.audit_entry e WHERE e.effect = 'bounced' AND ($1::bigint IS NULL OR e.run_id = $1::bigint)
), notified AS (
    SELECT DISTINCT ON (e.batch_id) e.run_id, e.batch_id, e.entry_id, (e.facts ->> 'accepted')::integer AS accepted,
           (e.facts ->> 'refused')::integer AS refused, (e.facts ->> 'uncertain')::integer AS uncertain
    FROM portcullis.audit_entry e WHERE e.effect = 'notified' AND ($1::bigint IS NULL OR e.run_id = $1::bigint)
    ORDER BY e.batch_id, e.entry_id DESC
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
    -- Whoever was erased is known by no name, and so their pseudonym leads nowhere.
    SELECT b.run_id, 'disagrees', 'by whose order, or why, is not what its entry says'
    FROM begun b
    JOIN wanted w ON w.run_id = b.run_id
    LEFT JOIN portcullis.audit_person p ON p.user_id = w.requested_by
    WHERE b.reason IS DISTINCT FROM w.reason
       OR CASE WHEN w.requested_by IS NOT NULL THEN p.subject IS DISTINCT FROM b.by
               ELSE EXISTS (SELECT FROM portcullis.audit_person q WHERE q.subject = b.by) END
    UNION ALL
    SELECT w.run_id, CASE WHEN count(e.effect) > says.times THEN 'inserted' ELSE 'missing' END,
           format('it is %s, and %s entries say that it was %s', w.state, count(e.effect), says.effect)
    FROM wanted w
    CROSS JOIN LATERAL (VALUES ('finished', (w.state = 'done')::integer), ('stopped', (w.state = 'cancelled')::integer),
                               ('forgotten', (w.forgotten_at IS NOT NULL)::integer)) AS says (effect, times)
    LEFT JOIN ended e ON e.run_id = w.run_id AND e.effect = says.effect
    GROUP BY w.run_id, w.state, says.effect, says.times
    HAVING count(e.effect) <> says.times
    UNION ALL
    SELECT w.run_id, 'disagrees', format('how it %s is not what its entry says', e.effect)
    FROM wanted w
    JOIN ended e ON e.run_id = w.run_id
    WHERE (e.effect = 'stopped' AND e.facts ->> 'because' IS DISTINCT FROM w.stopped_because)
       OR (e.effect = 'finished' AND (e.facts -> 'members', e.facts -> 'verdicts', e.facts -> 'sessions_ended', e.facts -> 'letters')
               IS DISTINCT FROM (w.totals -> 'members', w.totals -> 'verdicts', w.totals -> 'sessions_ended', w.totals -> 'letters'))
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
    UNION ALL
    -- What came back after the end of its batch has an entry of its own.
    SELECT n.run_id, 'disagrees', format('batch %s counts other letters than its entries', n.batch_id)
    FROM notified n
    JOIN wanted w ON w.run_id = n.run_id
    LEFT JOIN portcullis.batch b ON b.batch_id = n.batch_id AND b.run_id = n.run_id
    LEFT JOIN bounced c ON c.batch_id = n.batch_id AND c.entry_id > n.entry_id
    WHERE b.batch_id IS NULL OR (b.state IN ('done', 'cancelled') AND b.done_at IS NOT NULL)
    GROUP BY n.run_id, n.batch_id, n.accepted, n.refused, n.uncertain, b.accepted, b.refused, b.uncertain
    HAVING (b.accepted, b.refused, b.uncertain)
           IS DISTINCT FROM (n.accepted - count(*) FILTER (WHERE c.before = 'accepted'), n.refused + count(c.before),
                             n.uncertain - count(*) FILTER (WHERE c.before = 'uncertain'))
)
SELECT u.run_id, u.kind, u.words FROM unlike u ORDER BY u.run_id, u.kind = 'disagrees', u.kind, u.words LIMIT 5
