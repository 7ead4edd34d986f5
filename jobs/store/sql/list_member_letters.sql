-- What the latest runs of a user's organizations decided about them and wrote to them, with the batch that did it.
--
-- $1  portcullis.member_id         user
-- $2  text[]                       their organizations
-- $3  integer                      runs to look into, at most
SELECT d.run_id, r.organization_name, r.state AS run_state, d.slot, d.verdict, d.sessions_ended, d.state, d.attempts, d.doubts, d.next_at,
       d.first_tried_at, d.changed_at, d.letter, d.recipient, d.reason, d.relay_id, d.batch_id, b.stage, b.state AS batch_state,
       b.holder, b.token, b.attempts AS batch_attempts, b.error AS batch_error
FROM (
    SELECT r.run_id, r.organization_name, r.state FROM portcullis.run r
    WHERE r.organization_id IN (SELECT o::portcullis.organization_id FROM unnest($2::text[]) o)
    ORDER BY r.run_id DESC LIMIT $3::integer
) r
CROSS JOIN LATERAL (
    SELECT d.* FROM portcullis.delivery d
    WHERE d.run_id = r.run_id AND d.slot IN ('notice', 'report', 'lifted', 'week', 'day') AND d.member_id = $1::portcullis.member_id
) d
LEFT JOIN portcullis.batch b ON b.batch_id = d.batch_id
ORDER BY d.run_id DESC, d.changed_at DESC
