-- Take away a user's factor of time-based codes and whatever of it was begun.
--
-- $1  portcullis.member_id  user
--
-- No row: there was none.
WITH begun AS (
    DELETE FROM portcullis.pending_factor p WHERE p.user_id = $1::portcullis.member_id AND p.kind = 'totp'
)
DELETE FROM portcullis.factor f WHERE f.user_id = $1::portcullis.member_id AND f.kind = 'totp'
RETURNING f.factor_id, f.kind
