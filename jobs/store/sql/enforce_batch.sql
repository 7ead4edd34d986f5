-- Judge every member of a claimed range, end what must end, write it into the ledger, and close the batch. All or nothing.
--
-- $1  bigint                      batch
-- $2  bigint                      token of the claim
-- $3  bigint                      run
-- $4  portcullis.organization_id  organization
-- $5  portcullis.member_id        first member of the range; null: open
-- $6  portcullis.member_id        first member behind the range; null: open
-- $7  text[]                      kinds that the policy exempts
-- $8  text                        id of the key that vouches for the record; null: nobody does
-- $9  bytea                       that key for the inner hash of HMAC-SHA-256 (RFC 2104), made for this batch alone
-- $10  bytea                      and for the outer one
--
-- No row: the claim is stale or the run is over, nothing was written.
WITH held AS MATERIALIZED (
    SELECT b.batch_id, b.run_id, b.low, b.high
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    JOIN portcullis.policy p ON p.organization_id = r.organization_id
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open'
      AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)
      AND NOT portcullis.is_paused(r.run_id, r.organization_id, b.queue)
    FOR UPDATE OF b
), judged AS MATERIALIZED (
    SELECT m.user_id AS member_id,
           portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, $7::text[]) AS verdict
    FROM directory.member m
    WHERE EXISTS (SELECT FROM held)
      AND m.organization_id = $4::portcullis.organization_id
      AND ($5::portcullis.member_id IS NULL OR m.user_id >= $5::portcullis.member_id)
      AND ($6::portcullis.member_id IS NULL OR m.user_id < $6::portcullis.member_id)
      -- Who joined lately and has a grace is not asked for anything yet.
      AND NOT EXISTS (SELECT FROM portcullis.joiner g
                      WHERE g.organization_id = $4::portcullis.organization_id AND g.user_id = m.user_id AND g.ends_at > now())
), ended AS MATERIALIZED (
    -- Called for every unprotected member, listed session or not: an app may be unable to list what it can end.
    SELECT e.user_id AS member_id, e.ended
    FROM directory.end_sessions(
        $4::portcullis.organization_id, (SELECT coalesce(array_agg(j.member_id), '{}') FROM judged j WHERE j.verdict = 'unprotected'), true) e
), known AS MATERIALIZED (
    -- Empty, unless this is a sweep or a replay.
    SELECT d.member_id, d.verdict, d.state = 'suppressed' AND d.reason IN ('inactive', 'left') AS was_away
    FROM portcullis.delivery d
    WHERE d.run_id = $3 AND d.slot = 'notice'
      AND ($5::portcullis.member_id IS NULL OR d.member_id >= $5::portcullis.member_id)
      AND ($6::portcullis.member_id IS NULL OR d.member_id < $6::portcullis.member_id)
), numbers AS MATERIALIZED (
    -- Two batches of letters, so that whoever was logged out hears first.
    SELECT nextval('portcullis.batch_batch_id_seq') AS urgent, nextval('portcullis.batch_batch_id_seq') AS other FROM held
), facts AS MATERIALIZED (
    -- Once, and as unprotected if in doubt, whoever a main app's view names twice.
    SELECT DISTINCT ON (j.member_id)
           j.member_id, j.verdict, coalesce(e.ended, 0)::integer AS ended, k.verdict AS verdict_before,
           coalesce(k.was_away AND j.verdict <> 'inactive', false) AS is_back,
           CASE WHEN j.verdict = 'unprotected' THEN n.urgent ELSE n.other END AS notice
    FROM judged j
    CROSS JOIN numbers n
    LEFT JOIN ended e ON e.member_id = j.member_id
    LEFT JOIN known k ON k.member_id = j.member_id
    ORDER BY j.member_id, j.verdict = 'unprotected' DESC
), inserted AS (
    -- No ON CONFLICT: it takes a sixth of all that a batch does. Who was written down meanwhile, by a batch whose range overlaps, makes
    -- this one fail and begin again, and then is known.
    INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, sessions_ended, state, reason)
    SELECT $3, 'notice', f.member_id, f.notice, f.verdict, f.ended,
           CASE WHEN f.verdict = 'inactive' THEN 'suppressed' ELSE 'owed' END,
           CASE WHEN f.verdict = 'inactive' THEN 'inactive' END
    FROM facts f WHERE f.verdict_before IS NULL
    RETURNING batch_id, verdict, sessions_ended, state, subject
), revised AS (
    -- A letter that was decided stays; only who was inactive or had left, and is back, is owed one after all.
    UPDATE portcullis.delivery d
    SET verdict = f.verdict, sessions_ended = d.sessions_ended + f.ended, changed_at = now(),
        state = CASE WHEN f.is_back THEN 'owed' ELSE d.state END,
        reason = CASE WHEN f.is_back THEN NULL ELSE d.reason END,
        batch_id = CASE WHEN f.is_back THEN f.notice ELSE d.batch_id END
    FROM facts f
    WHERE d.run_id = $3 AND d.slot = 'notice' AND d.member_id = f.member_id
      AND ($5::portcullis.member_id IS NULL OR d.member_id >= $5::portcullis.member_id)
      AND ($6::portcullis.member_id IS NULL OR d.member_id < $6::portcullis.member_id)
      AND f.verdict_before IS NOT NULL AND (f.verdict <> f.verdict_before OR f.ended > 0)
    RETURNING f.verdict, f.verdict_before, f.ended, f.is_back, f.notice, d.subject
), sums AS MATERIALIZED (
    -- A few rows, read in place of the members by all that only adds up.
    SELECT batch_id, verdict, state, count(*)::integer AS members, sum(sessions_ended) AS sessions_ended
    FROM inserted GROUP BY batch_id, verdict, state
), changes AS (
    SELECT verdict, members AS weight, members AS member, sessions_ended FROM sums
    UNION ALL
    SELECT verdict, 1, 0, ended FROM revised
    UNION ALL
    SELECT verdict_before, -1, 0, 0 FROM revised
), tally AS (
    SELECT coalesce(sum(member), 0) AS members,
           coalesce(sum(weight) FILTER (WHERE verdict = 'unprotected'), 0) AS unprotected,
           coalesce(sum(weight) FILTER (WHERE verdict = 'protected'), 0) AS protected,
           coalesce(sum(weight) FILTER (WHERE verdict = 'sso'), 0) AS sso,
           coalesce(sum(weight) FILTER (WHERE verdict = 'exempt'), 0) AS exempt,
           coalesce(sum(weight) FILTER (WHERE verdict = 'inactive'), 0) AS inactive,
           coalesce(sum(sessions_ended), 0) AS sessions_ended
    FROM changes
), records AS (
    -- As portcullis.audit_entry says; null from before there was one.
    SELECT string_agg(int8send(subject) || CASE verdict WHEN 'unprotected' THEN '\x55'::bytea WHEN 'protected' THEN '\x50'::bytea
                          WHEN 'sso' THEN '\x53'::bytea WHEN 'exempt' THEN '\x45'::bytea ELSE '\x49'::bytea END
                      || int4send(sessions_ended), ''::bytea) AS judged,
           (SELECT string_agg(int8send(subject) || CASE verdict WHEN 'unprotected' THEN '\x75'::bytea WHEN 'protected' THEN '\x70'::bytea
                          WHEN 'sso' THEN '\x73'::bytea WHEN 'exempt' THEN '\x65'::bytea ELSE '\x69'::bytea END
                      || int4send(ended), ''::bytea) FROM revised WHERE subject IS NOT NULL) AS revised
    FROM inserted
), record AS MATERIALIZED (
    SELECT clock_timestamp() AS happened_at, coalesce(r.judged, '') || coalesce(r.revised, '') AS records,
           format('{"members":%s,"unprotected":%s,"protected":%s,"sso":%s,"exempt":%s,"inactive":%s,"sessions_ended":%s}',
                  t.members, t.unprotected, t.protected, t.sso, t.exempt, t.inactive, t.sessions_ended) AS facts
    FROM held CROSS JOIN tally t CROSS JOIN records r
), audited AS (
    INSERT INTO portcullis.audit_entry (run_id, effect, batch_id, happened_at, facts, records, key_id, mac)
    SELECT $3, 'enforced', $1, r.happened_at, r.facts::json, r.records, $8,
           sha256($10::bytea || sha256($9::bytea || portcullis.audit_message('enforced', $3, $1, r.happened_at, r.facts, r.records)))
    FROM record r
), letters AS (
    SELECT batch_id, CASE state WHEN 'owed' THEN members ELSE 0 END AS owed, CASE state WHEN 'suppressed' THEN members ELSE 0 END AS suppressed
    FROM sums
    UNION ALL
    SELECT notice, 1, -1 FROM revised WHERE is_back
), notices AS (
    INSERT INTO portcullis.batch (batch_id, run_id, stage, urgency, state, done_at, low, high, owed, suppressed)
    SELECT l.batch_id, h.run_id, 'notice', (l.batch_id <> n.urgent)::integer,
           CASE WHEN sum(l.owed) > 0 THEN 'open' ELSE 'done' END, CASE WHEN sum(l.owed) = 0 THEN clock_timestamp() END, h.low, h.high, sum(l.owed), sum(l.suppressed)
    FROM letters l CROSS JOIN held h CROSS JOIN numbers n
    GROUP BY l.batch_id, h.run_id, n.urgent, h.low, h.high
)
UPDATE portcullis.batch b
SET state = 'done', done_at = clock_timestamp(), leased_until = NULL, error = NULL,
    members = t.members, unprotected = t.unprotected, protected = t.protected, sso = t.sso, exempt = t.exempt,
    inactive = t.inactive, sessions_ended = t.sessions_ended
FROM held h CROSS JOIN tally t
WHERE b.batch_id = h.batch_id
RETURNING b.members, b.unprotected, b.protected, b.sso, b.exempt, b.inactive, b.sessions_ended,
          pg_notify('portcullis', '') IS NULL AS is_told
