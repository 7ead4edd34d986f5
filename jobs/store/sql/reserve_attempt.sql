-- Count one attempt at a second factor before its code is looked at, and say whether it may be looked at.
--
-- $1  portcullis.member_id      user
-- $2  boolean                   whether what was typed could be a code at all; if not, it is no failure
-- $3  integer                   failures in a row that cost no wait, at least 2
-- $4  integer                   failures in a row after which nothing is looked at any more
-- $5  interval                  wait after $3 failures; each further one doubles it
-- $6  interval                  longest wait
-- $7  timestamp with time zone  now; null: the database's clock
--
-- One row always, also for a user without a factor: neither the answer nor the time it takes tells who has one. Attempts at the same
-- moment wait for each other here, so that none is looked at beyond the limit.
WITH reserved AS (
    INSERT INTO portcullis.holder AS h (user_id, failures, admitted, evaluated, turned_away)
    VALUES ($1::portcullis.member_id, ($2::boolean)::integer, $2::boolean, ($2::boolean)::integer, (NOT $2::boolean)::integer)
    ON CONFLICT (user_id) DO UPDATE
    SET (failures, locked_until, admitted, evaluated, turned_away) = (
        SELECT h.failures + may.add,
               CASE WHEN may.add = 1 AND h.failures + 1 >= $3::integer
                    THEN may.now + least($6::interval, $5::interval * 2 ^ least(h.failures + 1 - $3::integer, 20))
                    ELSE h.locked_until END,
               may.add = 1, h.evaluated + may.add, h.turned_away + 1 - may.add
        FROM (SELECT clock.now, ($2::boolean AND h.failures < $4::integer AND coalesce(h.locked_until <= clock.now, true))::integer AS add
              FROM (SELECT coalesce($7, clock_timestamp()) AS now) clock) may)
    RETURNING h.user_id, h.failures, h.admitted, coalesce($7, clock_timestamp()) AS now
)
SELECT r.user_id, r.failures, r.admitted, r.now, f.factor_id, f.key_id, f.secret, f.disabled_at IS NOT NULL AS is_disabled
FROM reserved r
LEFT JOIN portcullis.factor f ON f.user_id = $1::portcullis.member_id AND f.kind = 'totp'
