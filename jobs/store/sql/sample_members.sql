-- The first members of some organization, in the order of their ids; a view that repeats somebody repeats them here.
--
-- $1  integer  members at most
SELECT m.organization_id, m.user_id
FROM directory.member m
WHERE m.organization_id = (
    SELECT first.organization_id FROM (SELECT s.organization_id FROM directory.member s LIMIT 1000) first
    GROUP BY first.organization_id ORDER BY count(*) DESC LIMIT 1)
ORDER BY m.user_id LIMIT $1::integer
