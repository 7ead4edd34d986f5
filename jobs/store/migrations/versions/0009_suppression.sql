-- Addresses that are not written to any more, and why.
SELECT 1;
