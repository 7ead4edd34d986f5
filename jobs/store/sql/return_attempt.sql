-- Take back an attempt that failed through no fault of the member's: the secret could not be opened.
--
-- $1  portcullis.member_id  user
UPDATE portcullis.holder h SET failures = greatest(h.failures - 1, 0), locked_until = NULL
WHERE h.user_id = $1::portcullis.member_id
RETURNING h.failures
