-- What was done, chained, so that a change to it shows.
SELECT 1;
