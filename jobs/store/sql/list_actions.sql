-- What people ordered, latest first.
--
-- $1  bigint                      run; null: all
-- $2  portcullis.organization_id  organization; null: all
-- $3  bigint                      only those before this number; null: from the latest on
-- $4  integer                     actions at most
SELECT a.action_id, a.happened_at, a.actor, a.via, a.verb, a.scope, a.subject, a.run_id, a.organization_id, a.reason, a.details::text AS details
FROM portcullis.action a
WHERE ($1::bigint IS NULL OR a.run_id = $1::bigint)
  AND ($2::portcullis.organization_id IS NULL OR a.organization_id = $2::portcullis.organization_id)
  AND ($3::bigint IS NULL OR a.action_id < $3::bigint)
ORDER BY a.action_id DESC LIMIT $4::integer
