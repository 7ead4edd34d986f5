-- Keep a new set of recovery codes, as their hashes.
--
-- $1  portcullis.member_id      user
-- $2  uuid                      set
-- $3  text                      key id
-- $4  bytea                     the key of the hashes, sealed
-- $5  bytea[]                   hashes
-- $6  timestamp with time zone  now; null: the database's clock
WITH made AS (
    INSERT INTO portcullis.recovery_set AS s (user_id, set_id, key_id, secret, made_at)
    VALUES ($1::portcullis.member_id, $2, $3, $4, coalesce($6, clock_timestamp()))
    RETURNING s.set_id
)
INSERT INTO portcullis.recovery_code AS c (set_id, digest)
SELECT m.set_id, d.digest FROM made m CROSS JOIN unnest($5::bytea[]) AS d (digest)
RETURNING c.digest
