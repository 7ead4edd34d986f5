-- A user's set of recovery codes: the sealed key of its hashes.
--
-- $1  portcullis.member_id      user
-- $2  timestamp with time zone  now; null: the database's clock
--
-- One row always; null: there is no set, or no factor that it belongs to.
SELECT asked.user_id, asked.now, s.set_id, s.key_id, s.secret, f.factor_id, f.kind, f.disabled_at IS NOT NULL AS is_disabled
FROM (SELECT $1::portcullis.member_id AS user_id, coalesce($2, clock_timestamp()) AS now) asked
LEFT JOIN portcullis.recovery_set s ON s.user_id = $1::portcullis.member_id
LEFT JOIN portcullis.factor f ON f.user_id = $1::portcullis.member_id AND f.kind = 'totp'
