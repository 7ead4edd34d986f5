-- Entries of the audit that wait for their seal, in the order of their numbers.
--
-- $1  integer  entries at most
SELECT e.entry_id, e.run_id, e.effect, e.batch_id, e.happened_at, e.facts::text AS facts, e.records, e.key_id, e.mac
FROM portcullis.audit_unsealed u
JOIN portcullis.audit_entry e ON e.entry_id = u.entry_id
ORDER BY u.entry_id LIMIT $1::integer
