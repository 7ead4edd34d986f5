-- What the processes counted, added up.
SELECT 1;
