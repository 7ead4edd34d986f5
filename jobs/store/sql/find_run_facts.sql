-- What a run froze about its organization, and whether the requirement that it came of still stands.
--
-- $1  bigint  run
SELECT r.organization_id::text AS organization_id, r.organization_name, r.decided_by, r.has_open_batches, r.exempt_kinds,
       coalesce(p.required AND p.epoch = r.epoch, false) AS stands
FROM portcullis.run r
LEFT JOIN portcullis.policy p ON p.organization_id = r.organization_id
WHERE r.run_id = $1
