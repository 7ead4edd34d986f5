-- Replace ciphertexts by the same secrets under the current key; one that changed meanwhile is left alone.
--
-- $1  text     'totp', 'pending', 'recovery', 'operator' or 'invited'
-- $2  uuid[]   factors, sets or operators
-- $3  bytea[]  ciphertexts before
-- $4  text     key id after
-- $5  bytea[]  ciphertexts after
WITH given AS (
    SELECT * FROM unnest($2::uuid[], $3::bytea[], $5::bytea[]) AS g (item_id, before, after)
), factors AS (
    UPDATE portcullis.factor f SET key_id = $4, secret = g.after FROM given g
    WHERE $1 = 'totp' AND f.factor_id = g.item_id AND f.secret = g.before
    RETURNING f.factor_id
), begun AS (
    UPDATE portcullis.pending_factor p SET key_id = $4, secret = g.after FROM given g
    WHERE $1 = 'pending' AND p.factor_id = g.item_id AND p.secret = g.before
    RETURNING p.factor_id
), sets AS (
    UPDATE portcullis.recovery_set s SET key_id = $4, secret = g.after FROM given g
    WHERE $1 = 'recovery' AND s.set_id = g.item_id AND s.secret = g.before
    RETURNING s.set_id
), operators AS (
    UPDATE portcullis.operator o SET key_id = $4, secret = g.after FROM given g
    WHERE $1 = 'operator' AND o.operator_id = g.item_id AND o.secret = g.before
    RETURNING o.operator_id
), invited AS (
    UPDATE portcullis.operator o SET pending_key_id = $4, pending_secret = g.after FROM given g
    WHERE $1 = 'invited' AND o.operator_id = g.item_id AND o.pending_secret = g.before
    RETURNING o.operator_id
)
SELECT (SELECT count(*) FROM factors) + (SELECT count(*) FROM begun) + (SELECT count(*) FROM sets) + (SELECT count(*) FROM operators)
     + (SELECT count(*) FROM invited) AS secrets
