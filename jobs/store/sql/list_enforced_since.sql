-- Entries about batches that were enforced, after that one, in the order of their numbers.
--
-- $1  bigint    entry
-- $2  integer   entries at most
-- $3  bigint[]  entries that are known
SELECT e.entry_id, e.run_id, e.effect, e.batch_id, e.happened_at, e.facts::text AS facts, e.records, e.key_id, e.mac
FROM portcullis.audit_entry e
WHERE e.entry_id > $1 AND e.effect = 'enforced' AND e.entry_id <> ALL ($3::bigint[])
ORDER BY e.entry_id LIMIT $2::integer
