-- Attempts at some letters of one member that were not accepted, numbered from the first; of each letter the latest ones.
--
-- $1  portcullis.member_id  user
-- $2  bigint[]              run of each letter
-- $3  text[]                slot of each letter
-- $4  integer               attempts a letter, at most
SELECT g.run_id, g.slot, a.number, a.outcome, a.tried_at, a.holder, a.token, a.relay, a.reason
FROM unnest($2::bigint[], $3::text[]) g (run_id, slot)
CROSS JOIN LATERAL (
    SELECT l.*, row_number() OVER (ORDER BY l.attempt_id) AS number
    FROM portcullis.attempt l
    WHERE l.run_id = g.run_id AND l.slot = g.slot AND l.member_id = $1::portcullis.member_id
    ORDER BY l.attempt_id DESC LIMIT $4::integer
) a
ORDER BY g.run_id, g.slot, a.number
