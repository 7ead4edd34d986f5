-- Spend the step of a code that fits, once: the one place that decides who signs in.
--
-- $1  uuid                      factor
-- $2  bigint                    step; -1: no code fitted
-- $3  timestamp with time zone  now; null: the database's clock
--
-- One row: it was ours, and the failures are forgotten. No row: this step or a later one was spent before, or the factor is gone.
WITH spent AS (
    UPDATE portcullis.factor f
    SET last_step = $2, last_used_at = coalesce($3, clock_timestamp())
    WHERE f.factor_id = $1 AND f.kind = 'totp' AND f.last_step < $2 AND f.disabled_at IS NULL
    RETURNING f.factor_id, f.user_id, f.kind
), forgiven AS (
    UPDATE portcullis.holder h SET failures = 0, locked_until = NULL FROM spent s WHERE h.user_id = s.user_id
)
SELECT s.factor_id, s.kind FROM spent s
