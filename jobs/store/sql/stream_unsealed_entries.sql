-- Every entry without a seal, and whether it is on the list of those that wait for one.
--
-- $1  bigint  run; null: all of them
SELECT e.entry_id, e.run_id, e.effect, e.batch_id, e.happened_at, e.facts::text AS facts, e.records, e.key_id, e.mac,
       u.entry_id IS NOT NULL AS is_waiting, extract(epoch FROM clock_timestamp() - e.happened_at)::double precision AS age
FROM portcullis.audit_entry e
LEFT JOIN portcullis.audit_unsealed u ON u.entry_id = e.entry_id
WHERE ($1::bigint IS NULL OR e.run_id = $1::bigint)
  AND NOT EXISTS (SELECT FROM portcullis.audit_seal s WHERE s.entry_id = e.entry_id)
ORDER BY e.entry_id
