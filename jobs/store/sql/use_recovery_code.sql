-- Consume a recovery code, once.
--
-- $1  uuid                      set
-- $2  bytea                     hash
-- $3  timestamp with time zone  now; null: the database's clock
--
-- One row with the codes left after it; no row: there is no such code, or it was used before.
UPDATE portcullis.recovery_code c SET used_at = coalesce($3, clock_timestamp())
WHERE c.set_id = $1 AND c.digest = $2 AND c.used_at IS NULL
RETURNING (SELECT count(*) FROM portcullis.recovery_code o WHERE o.set_id = $1 AND o.used_at IS NULL AND o.digest <> $2)::integer AS codes_left
