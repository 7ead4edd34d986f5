-- Take away all of a user's factors, of whatever kind, and whatever was begun; their attempts begin anew.
--
-- $1  portcullis.member_id      user
-- $2  timestamp with time zone  now; null: the database's clock
--
-- One row a factor; none: there was none, and nothing was changed but what was begun.
WITH begun AS (
    DELETE FROM portcullis.pending_factor p WHERE p.user_id = $1::portcullis.member_id
), gone AS (
    DELETE FROM portcullis.factor f WHERE f.user_id = $1::portcullis.member_id
    RETURNING f.user_id, f.factor_id, f.kind
), noted AS (
    INSERT INTO portcullis.holder AS h (user_id, admitted, reset_at)
    SELECT DISTINCT g.user_id, false, coalesce($2, clock_timestamp()) FROM gone g
    ON CONFLICT (user_id) DO UPDATE SET failures = 0, locked_until = NULL, reset_at = excluded.reset_at
)
SELECT g.factor_id, g.kind FROM gone g
