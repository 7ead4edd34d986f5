-- Take away a user's recovery codes.
--
-- $1  portcullis.member_id  user
DELETE FROM portcullis.recovery_set s WHERE s.user_id = $1::portcullis.member_id
RETURNING s.set_id
