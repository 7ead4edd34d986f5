-- Count one try at a factor that was begun, before the code is looked at, and return its secret.
--
-- $1  portcullis.member_id      user
-- $2  integer                   tries at most
-- $3  timestamp with time zone  now; null: the database's clock
--
-- No row: nothing was begun, it has expired, or it was tried too often.
UPDATE portcullis.pending_factor p SET tries = p.tries + 1
WHERE p.user_id = $1::portcullis.member_id AND p.kind = 'totp'
  AND p.expires_at > coalesce($3, clock_timestamp()) AND p.tries < $2::integer
RETURNING p.user_id, p.factor_id, p.replaces, p.key_id, p.secret, coalesce($3, clock_timestamp()) AS now
