-- Owe a member a letter about their second factor, in the transaction of what it tells.
--
-- $1  portcullis.member_id  user
-- $2  text                  letter
-- $3  portcullis.member_id  who did it; null: the member
-- $4  text                  facts, as a JSON object
INSERT INTO portcullis.factor_letter AS l (user_id, letter, done_by, facts)
VALUES ($1::portcullis.member_id, $2, $3::portcullis.member_id, ($4::text)::jsonb)
RETURNING l.letter_id
