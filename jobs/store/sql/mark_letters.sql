-- Claim the next letters of a batch: decide which letter each one is, freeze that and whom it goes to, and commit `sending` before
-- the first byte leaves. Whoever needs no letter any more, or has an address that is not written to, is suppressed here; nothing of it
-- is frozen, for they may come back.
--
-- $1   bigint                      batch
-- $2   bigint                      token of the claim
-- $3   bigint                      run
-- $4   text                        slot
-- $5   portcullis.organization_id  organization
-- $6   portcullis.member_id        first member of the range; null: open
-- $7   portcullis.member_id        first member behind the range; null: open
-- $8   integer                     letters at most
-- $9   portcullis.member_id[]      only these members; null: whoever is next
-- $10  interval                    lease
-- $11  boolean                     whether canaries are looked at: kinds of letters of which only so many may begin, or none
--
-- One row a letter that must be sent now, and in any case one with a null member, which says what kinds of letters were held back. No
-- row at all: the claim is stale or the run is over, nothing was written.
WITH held AS MATERIALIZED (
    SELECT b.batch_id, r.exempt_kinds
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    JOIN portcullis.policy p ON p.organization_id = r.organization_id
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
      AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)
      AND NOT portcullis.is_paused(r.run_id, r.organization_id, b.queue)
    FOR UPDATE OF b
), due AS MATERIALIZED (
    SELECT d.ctid AS place, d.member_id, d.state, d.letter, d.reason, d.first_tried_at IS NULL AS is_new
    FROM portcullis.delivery d
    WHERE EXISTS (SELECT FROM held)
      AND d.run_id = $3 AND d.slot = $4 AND d.batch_id = $1
      AND ($6::portcullis.member_id IS NULL OR d.member_id >= $6::portcullis.member_id)
      AND ($7::portcullis.member_id IS NULL OR d.member_id < $7::portcullis.member_id)
      AND d.state IN ('owed', 'deferred') AND d.next_at <= now()
      AND ($9::portcullis.member_id[] IS NULL OR d.member_id = ANY ($9::portcullis.member_id[]))
    ORDER BY d.member_id LIMIT $8::integer
), judged AS MATERIALIZED (
    SELECT due.place, due.member_id, due.state, due.letter, due.reason, due.is_new, m.user_id IS NOT NULL AS is_member, m.email, m.display_name, m.locale, m.time_zone, m.kind,
           portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, h.exempt_kinds) AS verdict
    FROM due
    CROSS JOIN held h
    LEFT JOIN directory.member m ON m.organization_id = $5::portcullis.organization_id AND m.user_id = due.member_id
), listed AS MATERIALIZED (
    -- The report goes to the one person who must know: nothing but people's own word holds it back.
    SELECT s.address
    FROM portcullis.suppressed((SELECT array_agg(j.email) FROM judged j WHERE j.is_new), $4 = 'report') AS s (address)
), sorted AS (
    -- A reminder is for those alone whom the requirement would hit.
    SELECT j.*, j.is_new AND (NOT j.is_member OR j.verdict = 'inactive' OR ($4 IN ('week', 'day') AND j.verdict <> 'unprotected')
                              OR coalesce(portcullis.address_key(j.email) COLLATE "C" IN (SELECT l.address FROM listed l), false)) AS is_spared
    FROM judged j
), named AS MATERIALIZED (
    SELECT s.*, CASE WHEN NOT s.is_spared THEN coalesce(s.letter, portcullis.letter_for(s.verdict)) END AS letter_now FROM sorted s
), bounds AS MATERIALIZED (
    SELECT c.letter, CASE c.state WHEN 'held' THEN 0 ELSE greatest(0, c.goal - c.begun) END AS most
    FROM portcullis.canary c
    WHERE $11::boolean AND c.run_id IN (0, $3) AND c.state <> 'passed' AND c.letter IN (SELECT n.letter_now FROM named n)
    ORDER BY c.run_id, c.letter
    FOR UPDATE OF c
), held_back AS MATERIALIZED (
    SELECT n.place, n.letter_now
    FROM (SELECT n.place, n.letter_now, row_number() OVER (PARTITION BY n.letter_now ORDER BY n.member_id) AS number
          FROM named n WHERE $11::boolean AND n.letter_now IN (SELECT b.letter FROM bounds b)) n
    WHERE n.number > (SELECT min(b.most) FROM bounds b WHERE b.letter = n.letter_now)
), chosen AS (
    SELECT n.* FROM named n WHERE NOT $11::boolean OR n.place NOT IN (SELECT h.place FROM held_back h)
), marked AS (
    UPDATE portcullis.delivery d
    SET state = CASE WHEN j.is_spared THEN 'suppressed' ELSE 'sending' END,
        reason = CASE WHEN NOT j.is_new THEN d.reason WHEN j.is_spared THEN
                     CASE WHEN NOT j.is_member THEN 'left' WHEN j.verdict = 'inactive' THEN 'inactive'
                          WHEN $4 IN ('week', 'day') AND j.verdict <> 'unprotected' THEN 'complies' ELSE 'address_suppressed' END END,
        letter = CASE WHEN j.is_spared THEN d.letter ELSE j.letter_now END,
        recipient = CASE WHEN j.is_new THEN j.email ELSE d.recipient END,
        display_name = CASE WHEN j.is_new THEN left(j.display_name, 200) ELSE d.display_name END,
        locale = CASE WHEN j.is_new THEN left(j.locale, 100) ELSE d.locale END,
        time_zone = CASE WHEN j.is_new THEN left(j.time_zone, 100) ELSE d.time_zone END,
        kind = CASE WHEN j.is_new THEN left(j.kind, 100) ELSE d.kind END,
        first_tried_at = CASE WHEN j.is_spared THEN NULL ELSE coalesce(d.first_tried_at, now()) END,
        changed_at = now()
    -- By place, so that the plan does not hang on what the planner believes of a ledger that was empty a second ago. A row that
    -- somebody moves at this moment is passed over, and is next.
    FROM chosen j
    WHERE d.ctid = j.place AND d.batch_id = $1 AND d.state = j.state  -- once more, as in record_letters
    RETURNING d.member_id, d.state, j.state AS state_before, d.letter, d.recipient, d.display_name, d.locale, d.time_zone, d.kind,
              d.first_tried_at, d.attempts, d.doubts, coalesce(j.reason ~ '^[a-z]+ 5[0-9][0-9]( |$)', false) AS was_refused
), begun AS (
    UPDATE portcullis.canary c SET begun = c.begun + m.letters, changed_at = now()
    FROM (SELECT letter, count(*) AS letters FROM marked WHERE state = 'sending' GROUP BY letter) m
    WHERE $11::boolean AND c.run_id IN (0, $3) AND c.state = 'trying' AND c.letter = m.letter
), counted AS (
    SELECT count(*) FILTER (WHERE state_before = 'owed') AS owed,
           count(*) FILTER (WHERE state_before = 'deferred') AS deferred,
           count(*) FILTER (WHERE state = 'sending') AS sending,
           count(*) FILTER (WHERE state = 'suppressed') AS suppressed
    FROM marked
), noted AS (
    UPDATE portcullis.batch b
    SET owed = b.owed - c.owed, deferred = b.deferred - c.deferred, sending = b.sending + c.sending,
        suppressed = b.suppressed + c.suppressed, leased_until = clock_timestamp() + $10::interval
    FROM held h CROSS JOIN counted c
    WHERE b.batch_id = h.batch_id
    RETURNING b.batch_id
)
SELECT m.member_id, m.letter, m.recipient, m.display_name, m.locale, m.time_zone, m.kind, m.first_tried_at, m.attempts, m.doubts,
       m.was_refused, NULL::text[] AS held_back
FROM noted LEFT JOIN marked m ON m.state = 'sending'
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       CASE WHEN $11::boolean THEN (SELECT array_agg(DISTINCT h.letter_now) FROM held_back h) END
FROM noted
