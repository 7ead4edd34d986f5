-- Addresses that are not written to, the latest first.
--
-- $1  text     only of this source; null: of all
-- $2  text[]   only these addresses; null: all
-- $3  integer  rows at most
SELECT s.address, s.source, s.reason, s.run_id, s.organization_id, s.since, s.expires_at
FROM portcullis.suppression s
WHERE (s.expires_at IS NULL OR s.expires_at > now()) AND ($1::text IS NULL OR s.source = $1::text)
  AND ($2::text[] IS NULL OR s.address = ANY (SELECT portcullis.address_key(a.address) COLLATE "C" FROM unnest($2::text[]) AS a (address)))
ORDER BY s.since DESC, s.address DESC LIMIT $3::integer
