-- Every seal with its entry, chain by chain, in order.
--
-- $1  bigint  run; null: all of them
SELECT s.run_id AS chain, s.place, s.entry_id AS sealed_entry, s.key_id AS seal_key_id, s.previous, s.digest,
       e.entry_id, e.run_id, e.effect, e.batch_id, e.happened_at, e.facts::text AS facts, e.records, e.key_id, e.mac
FROM portcullis.audit_seal s
LEFT JOIN portcullis.audit_entry e ON e.entry_id = s.entry_id
WHERE $1::bigint IS NULL OR s.run_id = $1::bigint
ORDER BY s.run_id, s.place
