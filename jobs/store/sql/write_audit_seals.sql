-- Write seals, and take their entries off the list of what waits.
--
-- $1  bigint[]  run
-- $2  bigint[]  place in its chain
-- $3  bigint[]  entry
-- $4  text      id of the key
-- $5  bytea[]   seal before
-- $6  bytea[]   seal
WITH written AS (
    INSERT INTO portcullis.audit_seal (run_id, place, entry_id, key_id, previous, digest)
    SELECT g.run_id, g.place, g.entry_id, $4, g.previous, g.digest
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $5::bytea[], $6::bytea[]) AS g (run_id, place, entry_id, previous, digest)
    ORDER BY g.entry_id
    RETURNING entry_id
)
DELETE FROM portcullis.audit_unsealed u USING written w WHERE u.entry_id = w.entry_id
