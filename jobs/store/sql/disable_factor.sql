-- Disable a factor after too many failures in a row, once.
--
-- $1  uuid                      factor
-- $2  integer                   failures in a row at which it happens
-- $3  timestamp with time zone  now; null: the database's clock
--
-- No row: it is disabled already, or a right code came between.
UPDATE portcullis.factor f SET disabled_at = coalesce($3, clock_timestamp())
FROM portcullis.holder h
WHERE f.factor_id = $1 AND f.disabled_at IS NULL AND h.user_id = f.user_id AND h.failures >= $2::integer
RETURNING f.user_id, f.factor_id, f.kind
