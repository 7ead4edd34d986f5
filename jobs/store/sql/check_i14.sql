-- I14: nobody has more wrong guesses evaluated than the limit.
--
-- $1  integer  failures in a row after which nothing is looked at any more
SELECT count(*) AS found, 'more guesses in a row were looked at than may be' AS words
FROM portcullis.holder h WHERE h.failures > $1::integer
