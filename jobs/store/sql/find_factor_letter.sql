-- Whom a letter about a second factor went to.
--
-- $1  bigint  letter
-- $2  text    letter's kind
SELECT l.user_id FROM portcullis.factor_letter l WHERE l.letter_id = $1 AND l.letter = $2
