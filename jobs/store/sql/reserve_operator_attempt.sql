-- Count one attempt before it is looked at, and say whether it may be looked at. Attempts at the same moment wait for each other here.
--
-- $1  text                      key: what is tried, whose it is, from where
-- $2  integer                   failures in a row that cost no wait, at least 2
-- $3  integer                   failures in a row after which nothing is looked at any more
-- $4  interval                  wait after $2 failures; each further one doubles it
-- $5  interval                  longest wait
-- $6  timestamp with time zone  now; null: the database's clock
INSERT INTO portcullis.operator_throttle AS t (key, failures, admitted, tried_at)
VALUES ($1, 1, true, coalesce($6, clock_timestamp()))
ON CONFLICT (key) DO UPDATE
SET (failures, locked_until, admitted, tried_at) = (
    SELECT t.failures + may.add,
           CASE WHEN may.add = 1 AND t.failures + 1 >= $2::integer
                THEN may.now + least($5::interval, $4::interval * 2 ^ least(t.failures + 1 - $2::integer, 20))
                ELSE t.locked_until END,
           may.add = 1, may.now
    FROM (SELECT clock.now, (t.failures < $3::integer AND coalesce(t.locked_until <= clock.now, true))::integer AS add
          FROM (SELECT coalesce($6, clock_timestamp()) AS now) clock) may)
RETURNING t.admitted, t.failures, t.tried_at AS now
