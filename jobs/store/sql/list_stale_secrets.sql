-- The next secrets that are sealed under another key than the current one.
--
-- $1  text     current key id
-- $2  text     'totp', 'pending', 'recovery'; of those who sign in to the console: 'operator', 'invited'
-- $3  uuid     the last one seen; null: from the beginning
-- $4  integer  rows at most
SELECT stale.user_id, stale.item_id, stale.key_id, stale.secret
FROM (
    SELECT f.user_id::text AS user_id, f.factor_id AS item_id, f.key_id, f.secret FROM portcullis.factor f
    WHERE $2 = 'totp' AND f.kind = 'totp' AND f.key_id <> $1 AND ($3::uuid IS NULL OR f.factor_id > $3::uuid)
    UNION ALL
    SELECT p.user_id::text, p.factor_id, p.key_id, p.secret FROM portcullis.pending_factor p
    WHERE $2 = 'pending' AND p.kind = 'totp' AND p.key_id <> $1 AND ($3::uuid IS NULL OR p.factor_id > $3::uuid)
    UNION ALL
    SELECT s.user_id::text, s.set_id, s.key_id, s.secret FROM portcullis.recovery_set s
    WHERE $2 = 'recovery' AND s.key_id <> $1 AND ($3::uuid IS NULL OR s.set_id > $3::uuid)
    UNION ALL
    SELECT o.name, o.operator_id, o.key_id, o.secret FROM portcullis.operator o
    WHERE $2 = 'operator' AND o.key_id <> $1 AND ($3::uuid IS NULL OR o.operator_id > $3::uuid)
    UNION ALL
    SELECT o.name, o.operator_id, o.pending_key_id, o.pending_secret FROM portcullis.operator o
    WHERE $2 = 'invited' AND o.pending_key_id <> $1 AND ($3::uuid IS NULL OR o.operator_id > $3::uuid)
) stale
ORDER BY stale.item_id LIMIT $4::integer
