-- Show what the auditor found.
--
-- $1  text              invariant
-- $2  bigint            violations
-- $3  text              the first one, in words; null: there is none
-- $4  double precision  how long it took to look, in seconds
INSERT INTO portcullis.audit_result (invariant, ok, found, words, seconds) VALUES ($1, $2::bigint = 0, $2, $3, $4)
ON CONFLICT (invariant) DO UPDATE
SET ok = excluded.ok, found = excluded.found, words = excluded.words, seconds = excluded.seconds, looked_at = clock_timestamp()
