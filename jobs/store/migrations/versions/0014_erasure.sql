-- What is left of a member who is forgotten.
SELECT 1;
