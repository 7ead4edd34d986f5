-- Addresses that are not written to any more, and why.

-- How an address is looked up, whoever spells it. Mail servers may tell `Ada@` from `ada@` (RFC 5321 2.4); none worth writing to does.
CREATE FUNCTION portcullis.address_key(address text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT lower(btrim(address)) $$;

-- One address that refuses mail for good, or that people want left alone. Whose it is stands nowhere: it is needed for nothing.
--
--   refused   the relay said so, to a letter of the run
--   bounce    a delivery report said so later
--   operator  somebody said so: holds until somebody takes it away, and for every letter
--
-- The first two end after half a year: long enough not to be known as a sender that keeps writing to dead mailboxes, short enough that
-- a mailbox that was opened again is found by itself.
CREATE TABLE portcullis.suppression (
    address         text COLLATE "C" PRIMARY KEY CHECK (address <> ''),
    source          text NOT NULL CHECK (source IN ('refused', 'bounce', 'operator')),
    reason          text NOT NULL,
    run_id          bigint,
    organization_id portcullis.organization_id,
    since           timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz DEFAULT now() + interval '180 days',
    CHECK ((source = 'operator') = (expires_at IS NULL))
);

CREATE INDEX suppression_recent ON portcullis.suppression (since, address);

-- Which of these addresses are on the list now, as keys; `by_operators`: only what people put there counts.
--
-- Asked once a wave of letters. The setting makes it a probe of the index for each address, also while the planner believes that the list
-- is as small as it was this morning: a wave of 250 would otherwise read all of it 250 times.
CREATE FUNCTION portcullis.suppressed(addresses text[], by_operators boolean) RETURNS SETOF text
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
SET enable_seqscan = off
AS $$
BEGIN
    RETURN QUERY
        SELECT found.address
        FROM unnest(suppressed.addresses) AS a (address)
        CROSS JOIN LATERAL (
            SELECT s.address FROM portcullis.suppression s
            WHERE s.address = portcullis.address_key(a.address) COLLATE "C" AND (s.expires_at IS NULL OR s.expires_at > now())
              AND (s.source = 'operator' OR NOT suppressed.by_operators)
            LIMIT 1) found;
END
$$;

-- Put addresses on the list, or hold them there for longer; returns how many. What people put there is left as it is. In the order of the
-- addresses, so that two mailers with the same ones don't wait for each other in a circle.
CREATE FUNCTION portcullis.suppress(
    addresses text[], source text, reasons text[], run_ids bigint[], organization_ids portcullis.organization_id[]
) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    WITH listed AS (
        INSERT INTO portcullis.suppression AS s (address, source, reason, run_id, organization_id)
        SELECT DISTINCT ON (1) portcullis.address_key(g.address) COLLATE "C", suppress.source, coalesce(left(g.reason, 200), ''),
               g.run_id, g.organization_id
        FROM unnest(addresses, reasons, run_ids, organization_ids) AS g (address, reason, run_id, organization_id)
        WHERE portcullis.address_key(g.address) <> ''
        ORDER BY 1
        ON CONFLICT (address) DO UPDATE
        SET source = excluded.source, reason = excluded.reason, run_id = excluded.run_id, organization_id = excluded.organization_id,
            since = CASE WHEN s.expires_at > now() THEN s.since ELSE now() END, expires_at = excluded.expires_at
        WHERE s.source <> 'operator'
        RETURNING s.address
    )
    SELECT count(*) FROM listed
$$;

-- Text ids may be longer than an envelope sender has room for; such a letter's sender names a digest, by which its row is found. Other
-- installations need no index and get none. It is on what never changes, so a change of state stays heap-only.
DO $$
BEGIN
    IF '{member_id_type}' = 'text' THEN
        CREATE INDEX delivery_by_digest ON portcullis.delivery (run_id, slot, (left(md5(member_id::text), 16)))
        WHERE octet_length(member_id::text) > 16;
    END IF;
END
$$;
