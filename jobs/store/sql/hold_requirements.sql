-- Hold off a switch of each of a user's organizations until this transaction ends, as a sign-in does. A statement of its own, before
-- the one that looks.
--
-- $1  portcullis.member_id  user
SELECT count(pg_advisory_xact_lock_shared(k.key) IS NULL)
FROM (
    SELECT DISTINCT portcullis.lock_key('login', m.organization_id) AS key FROM directory.member m
    WHERE m.user_id = $1::portcullis.member_id ORDER BY key
) k
