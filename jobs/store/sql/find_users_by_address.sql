-- Users with this address, in whatever organization.
--
-- $1  text     address as typed
-- $2  integer  users at most
SELECT DISTINCT m.user_id::text AS user_id FROM directory.member m WHERE m.email IN ($1, lower($1)) LIMIT $2::integer
