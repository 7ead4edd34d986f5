-- What the breakers of letter kinds and recipient domains decide by.
SELECT 1;
