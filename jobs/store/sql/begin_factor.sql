-- Keep a factor that was begun, in place of one begun before.
--
-- $1  portcullis.member_id      user
-- $2  uuid                      factor
-- $3  uuid                      the confirmed factor that was shown, and will be replaced; null: there is none
-- $4  text                      key id
-- $5  bytea                     secret, sealed
-- $6  interval                  how long it waits for its first code
-- $7  timestamp with time zone  now; null: the database's clock
INSERT INTO portcullis.pending_factor AS p (user_id, kind, factor_id, replaces, key_id, secret, begun_at, expires_at)
SELECT $1::portcullis.member_id, 'totp', $2, $3, $4, $5, clock.now, clock.now + $6::interval
FROM (SELECT coalesce($7, clock_timestamp()) AS now) clock
ON CONFLICT (user_id, kind) DO UPDATE
SET factor_id = excluded.factor_id, replaces = excluded.replaces, key_id = excluded.key_id, secret = excluded.secret, tries = 0,
    begun_at = excluded.begun_at, expires_at = excluded.expires_at
RETURNING p.expires_at
