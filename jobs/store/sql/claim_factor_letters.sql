-- Claim the next letters about members' second factors: freeze whom each goes to and what it names, and commit `sending` before the first
-- byte leaves. Whoever belongs to no organization can't be written to: the directory has no address of theirs.
--
-- They are alarms, and few: an address that refused letters is tried all the same, or whoever gets it onto the list could silence them.
-- What people put on the list is obeyed: it may be a stranger's.
--
-- None while all letters, or everything, is paused.
--
-- $1  integer   letters at most
-- $2  interval  lease
WITH due AS MATERIALIZED (
    SELECT l.letter_id, l.user_id, l.done_by, l.facts
    FROM portcullis.factor_letter l
    WHERE l.state IN ('owed', 'sending', 'deferred') AND l.next_at <= now() AND (l.leased_until IS NULL OR l.leased_until < now())
      AND NOT portcullis.is_paused(NULL, NULL, 'notify')
    ORDER BY l.next_at, l.letter_id LIMIT $1::integer
    FOR UPDATE SKIP LOCKED
), addressed AS MATERIALIZED (
    -- In the name of the organization whose admin did it, else of their first one.
    SELECT d.letter_id, m.user_id IS NOT NULL AS is_member,
           jsonb_build_object(
               'address', m.email, 'display_name', left(m.display_name, 200), 'locale', left(m.locale, 100),
               'time_zone', left(m.time_zone, 100), 'organization_id', m.organization_id::text, 'organization_name', left(o.name, 200),
               'organization_locale', left(o.locale, 100), 'organization_time_zone', left(o.time_zone, 100),
               'support_url', left(o.support_url, 500), 'done_by', left(admin.display_name, 200)) AS frozen
    FROM due d
    LEFT JOIN LATERAL (
        SELECT * FROM directory.member c WHERE c.user_id = d.user_id
        ORDER BY c.organization_id::text IS DISTINCT FROM d.facts ->> 'organization', c.organization_id LIMIT 1) m ON true
    LEFT JOIN directory.organization o ON o.organization_id = m.organization_id
    LEFT JOIN LATERAL (
        SELECT a.display_name FROM directory.member a WHERE a.organization_id = m.organization_id AND a.user_id = d.done_by LIMIT 1) admin ON true
), listed AS MATERIALIZED (
    SELECT s.address FROM portcullis.suppressed((SELECT array_agg(a.frozen ->> 'address') FROM addressed a), true) AS s (address)
), sorted AS (
    SELECT a.*, coalesce(portcullis.address_key(a.frozen ->> 'address') COLLATE "C" IN (SELECT l.address FROM listed l), false) AS is_suppressed
    FROM addressed a
)
UPDATE portcullis.factor_letter l
SET state = CASE WHEN l.frozen IS NULL AND (NOT a.is_member OR a.is_suppressed) THEN 'suppressed' ELSE 'sending' END,
    reason = CASE WHEN l.frozen IS NULL AND NOT a.is_member THEN 'left'
                  WHEN l.frozen IS NULL AND a.is_suppressed THEN 'address_suppressed' ELSE l.reason END,
    frozen = CASE WHEN l.frozen IS NULL AND a.is_member THEN a.frozen ELSE l.frozen END,
    token = l.token + 1, leased_until = clock_timestamp() + $2::interval, changed_at = now()
FROM sorted a
WHERE l.letter_id = a.letter_id
RETURNING l.letter_id, l.user_id, l.letter, l.happened_at, l.facts::text AS facts, l.frozen::text AS frozen, l.state, l.token, l.attempts,
          l.doubts
