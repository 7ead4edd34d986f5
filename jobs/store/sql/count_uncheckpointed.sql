-- Seals that no signed statement covers yet, and the age of the oldest, in seconds.
--
-- $1  bigint  number of the last seal that was signed for
SELECT count(*) AS seals, coalesce(max(extract(epoch FROM clock_timestamp() - s.sealed_at)), 0)::double precision AS age
FROM portcullis.audit_seal s WHERE s.seal_id > $1
