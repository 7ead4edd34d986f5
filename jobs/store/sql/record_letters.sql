-- Write down what became of letters that were `sending`, of any number of batches.
--
-- $1   bigint[]                run
-- $2   bigint[]                batch
-- $3   bigint[]                token of the claim
-- $4   text[]                  slot
-- $5   portcullis.member_id[]  member
-- $6   text[]                  new state
-- $7   text[]                  reason, or null
-- $8   text[]                  the relay's id of the letter, or null
-- $9   double precision[]      seconds until it is due again
-- $10  smallint[]              attempts to add
-- $11  smallint[]              doubts to add
-- $12  boolean[]               whether the address is not to be written to again
-- $13  bigint[]                which of them, counted from 1, a relay was tried for in vain
-- $14  text[]                  that relay; '': nobody knows
--
-- Letters whose claim is stale are left alone. What would be owed again is cancelled where its batch was. One row a batch, with the
-- number of letters; a row of the ledger that somebody moved at this moment was passed over: call again while letters are missing.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::portcullis.member_id[], $6::text[], $7::text[],
                         $8::text[], $9::double precision[], $10::smallint[], $11::smallint[], $12::boolean[]) WITH ORDINALITY
        AS g (run_id, batch_id, token, slot, member_id, state, reason, relay_id, seconds, attempts, doubts, suppresses, number)
), held AS MATERIALIZED (
    SELECT b.batch_id, b.token, b.holder, b.state = 'cancelled' AS is_cancelled
    FROM portcullis.batch b
    WHERE (b.batch_id, b.token) IN (SELECT DISTINCT g.batch_id, g.token FROM given g)
    ORDER BY b.batch_id
    FOR UPDATE OF b
), found AS MATERIALIZED (
    -- By place, so that the plan does not hang on what the planner believes of a ledger that was empty a second ago.
    SELECT g.*, h.is_cancelled, d.place
    FROM given g
    JOIN held h ON h.batch_id = g.batch_id AND h.token = g.token
    CROSS JOIN LATERAL (
        SELECT l.ctid AS place, l.batch_id, l.state FROM portcullis.delivery l
        WHERE l.run_id = g.run_id AND l.slot = g.slot AND l.member_id = g.member_id OFFSET 0) d
    WHERE d.batch_id = g.batch_id AND d.state = 'sending'
), moved AS (
    UPDATE portcullis.delivery d
    SET state = CASE WHEN g.is_cancelled AND g.state IN ('owed', 'deferred') THEN 'cancelled' ELSE g.state END,
        reason = g.reason, relay_id = g.relay_id, next_at = now() + make_interval(secs => g.seconds),
        attempts = d.attempts + g.attempts, doubts = d.doubts + g.doubts, changed_at = now()
    FROM found g
    -- The state once more, because PostgreSQL follows a row that was moved: until late in 2025 it did not look at the place again.
    WHERE d.ctid = g.place AND d.batch_id = g.batch_id AND d.state = 'sending'
    RETURNING d.run_id, d.batch_id, d.state, d.recipient, d.reason, g.suppresses, g.number
), kept AS (
    -- An attempt that was not accepted leaves a row. Where every letter was, nothing is looked at here.
    INSERT INTO portcullis.attempt (run_id, slot, member_id, batch_id, outcome, holder, token, relay, reason)
    SELECT g.run_id, g.slot, g.member_id, g.batch_id,
           CASE WHEN g.doubts > 0 THEN 'in_doubt' WHEN g.state = 'refused' THEN 'refused' WHEN g.attempts > 0 THEN 'deferred'
                ELSE 'given_back' END,
           h.holder, g.token, nullif(t.relay, ''), g.reason
    FROM unnest($13::bigint[], $14::text[]) t (number, relay)
    JOIN moved m ON m.number = t.number
    JOIN given g ON g.number = t.number
    JOIN held h ON h.batch_id = g.batch_id
), listed AS MATERIALIZED (
    SELECT portcullis.suppress(array_agg(m.recipient), 'refused', array_agg(m.reason), array_agg(m.run_id), array_agg(m.organization_id))
               AS addresses
    FROM (SELECT v.*, (SELECT r.organization_id FROM portcullis.run r WHERE r.run_id = v.run_id) AS organization_id
          FROM moved v WHERE v.suppresses OFFSET 0) m
    HAVING count(*) > 0
), counted AS (
    SELECT batch_id, count(*) AS letters,
           count(*) FILTER (WHERE state = 'owed') AS owed,
           count(*) FILTER (WHERE state = 'deferred') AS deferred,
           count(*) FILTER (WHERE state = 'accepted') AS accepted,
           count(*) FILTER (WHERE state = 'refused') AS refused,
           count(*) FILTER (WHERE state = 'uncertain') AS uncertain,
           count(*) FILTER (WHERE state = 'suppressed') AS suppressed,
           count(*) FILTER (WHERE state = 'cancelled') AS cancelled
    FROM moved GROUP BY batch_id
)
UPDATE portcullis.batch b
SET sending = b.sending - c.letters, owed = b.owed + c.owed, deferred = b.deferred + c.deferred, accepted = b.accepted + c.accepted,
    refused = b.refused + c.refused, uncertain = b.uncertain + c.uncertain, suppressed = b.suppressed + c.suppressed,
    cancelled = b.cancelled + c.cancelled,
    attempts = CASE WHEN c.letters > c.owed THEN 0 ELSE b.attempts END,
    last_letter_at = CASE WHEN c.accepted > 0 THEN clock_timestamp() ELSE b.last_letter_at END
FROM counted c
LEFT JOIN listed l ON true
WHERE b.batch_id = c.batch_id
RETURNING b.batch_id, c.letters, l.addresses  -- asked for, or nothing would be put on the list
