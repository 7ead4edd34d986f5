-- Write down that a letter came back: `refused` after all, with its batch's counters, and its address put on the list.
--
-- $1  bigint                run
-- $2  text                  slot
-- $3  portcullis.member_id  member
-- $4  text                  reason
-- $5  boolean               whether the address is not to be written to again
--
-- No row: the ledger has no such letter. Otherwise the state that was found, and whether that is over now. Only what was handed over
-- can come back; a letter that is still on its way comes back later, or was sent twice and is about to be settled.
WITH found AS MATERIALIZED (
    SELECT d.batch_id, d.state, d.recipient
    FROM portcullis.delivery d
    WHERE d.run_id = $1 AND d.slot = $2 AND d.member_id = $3::portcullis.member_id
), held AS MATERIALIZED (
    SELECT b.batch_id FROM portcullis.batch b
    WHERE b.batch_id = (SELECT f.batch_id FROM found f WHERE f.state IN ('accepted', 'uncertain'))
    FOR UPDATE OF b
), moved AS (
    UPDATE portcullis.delivery d
    SET state = 'refused', reason = $4, changed_at = now()
    FROM held h CROSS JOIN found f
    WHERE d.run_id = $1 AND d.slot = $2 AND d.member_id = $3::portcullis.member_id
      AND d.batch_id = h.batch_id AND d.state = f.state
    RETURNING d.batch_id, d.subject, f.state AS state_before, f.recipient
), counted AS (
    UPDATE portcullis.batch b
    SET accepted = b.accepted - (m.state_before = 'accepted')::integer, uncertain = b.uncertain - (m.state_before = 'uncertain')::integer,
        refused = b.refused + 1
    FROM moved m
    WHERE b.batch_id = m.batch_id
    RETURNING b.batch_id, b.token
), listed AS MATERIALIZED (
    SELECT portcullis.suppress(ARRAY[m.recipient], 'bounce', ARRAY[$4], ARRAY[$1],
                               ARRAY[(SELECT r.organization_id FROM portcullis.run r WHERE r.run_id = $1)]) AS addresses
    FROM moved m WHERE $5
), audited AS MATERIALIZED (
    SELECT portcullis.write_audit($1, 'bounced', jsonb_build_object(
        'slot', $2, 'subject', m.subject, 'before', m.state_before, 'address_suppressed', $5), m.batch_id) IS NULL AS is_written
    FROM moved m
)
SELECT f.state, EXISTS (SELECT FROM moved) AS is_moved, coalesce((SELECT l.addresses FROM listed l), 0) AS addresses,
       (SELECT c.batch_id FROM counted c) AS batch_id, (SELECT c.token FROM counted c) AS token,
       (SELECT count(a.is_written) FROM audited a) AS entries  -- asked for, or nothing would be put on the list or into the audit
FROM found f
