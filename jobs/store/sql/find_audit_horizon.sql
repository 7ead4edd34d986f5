-- The highest number of an entry that is seen, a transaction that is younger than any that has a lower number, and the oldest one that
-- is not over. Takes the number of a transaction for it: what a snapshot calls the next one has begun already if nothing ended since.
SELECT coalesce(max(e.entry_id), 0) AS entry_id, pg_current_xact_id()::text::bigint AS next,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest
FROM portcullis.audit_entry e
