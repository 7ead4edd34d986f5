-- The last entry that is more than a day old; 0: there is none.
SELECT coalesce((
    SELECT e.entry_id FROM portcullis.audit_entry e
    WHERE e.happened_at < now() - interval '1 day' ORDER BY e.entry_id DESC LIMIT 1), 0) AS entry_id
