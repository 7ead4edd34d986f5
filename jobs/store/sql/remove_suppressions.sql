-- Take addresses from the list; returns what stood there and still held.
--
-- $1  text[]  addresses
WITH removed AS (
    DELETE FROM portcullis.suppression s
    WHERE s.address IN (SELECT portcullis.address_key(a.address) COLLATE "C" FROM unnest($1::text[]) AS a (address))
    RETURNING s.address, s.source, s.expires_at
)
SELECT r.address, r.source FROM removed r WHERE r.expires_at IS NULL OR r.expires_at > now()
