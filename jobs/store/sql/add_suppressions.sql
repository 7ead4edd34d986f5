-- Put addresses on the list because somebody says so, until somebody takes them away.
--
-- $1  text[]  addresses
-- $2  text    reason
INSERT INTO portcullis.suppression AS s (address, source, reason, expires_at)
SELECT DISTINCT portcullis.address_key(a.address), 'operator', $2, NULL::timestamptz FROM unnest($1::text[]) AS a (address)
ON CONFLICT (address) DO UPDATE
SET source = excluded.source, reason = excluded.reason, run_id = NULL, organization_id = NULL, expires_at = NULL,
    since = CASE WHEN s.source = 'operator' THEN s.since ELSE now() END
RETURNING s.address
