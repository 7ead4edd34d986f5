-- What a user has of the second factor, without anything secret.
--
-- $1  portcullis.member_id      user
-- $2  timestamp with time zone  now; null: the database's clock
--
-- One row always.
SELECT asked.user_id, asked.now, f.factor_id, f.confirmed_at, f.last_used_at, f.disabled_at, h.reset_at,
       ARRAY(SELECT DISTINCT o.kind FROM portcullis.factor o WHERE o.user_id = $1::portcullis.member_id ORDER BY o.kind) AS kinds,
       (SELECT p.expires_at FROM portcullis.pending_factor p
        WHERE p.user_id = $1::portcullis.member_id AND p.kind = 'totp' AND p.expires_at > asked.now) AS pending_until,
       s.made_at AS recovery_made_at,
       (SELECT count(*) FROM portcullis.recovery_code c WHERE c.set_id = s.set_id AND c.used_at IS NULL)::integer AS recovery_codes_left
FROM (SELECT $1::portcullis.member_id AS user_id, coalesce($2, clock_timestamp()) AS now) asked
LEFT JOIN portcullis.factor f ON f.user_id = $1::portcullis.member_id AND f.kind = 'totp'
LEFT JOIN portcullis.holder h ON h.user_id = $1::portcullis.member_id
LEFT JOIN portcullis.recovery_set s ON s.user_id = $1::portcullis.member_id
