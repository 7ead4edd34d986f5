-- Bind a factor of time-based codes; the step of the code that confirmed it is spent, and earlier failures are forgotten.
--
-- $1  uuid                      factor
-- $2  portcullis.member_id      user
-- $3  text                      key id
-- $4  bytea                     secret, sealed
-- $5  bigint                    step of the confirming code
-- $6  timestamp with time zone  now; null: the database's clock
WITH forgiven AS (
    UPDATE portcullis.holder h SET failures = 0, locked_until = NULL, reset_at = NULL WHERE h.user_id = $2::portcullis.member_id
)
INSERT INTO portcullis.factor AS f (factor_id, user_id, kind, confirmed_at, key_id, secret, last_step)
VALUES ($1, $2::portcullis.member_id, 'totp', coalesce($6, clock_timestamp()), $3, $4, $5)
RETURNING f.factor_id
