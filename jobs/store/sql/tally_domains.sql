-- Count what recipient domains said, and open or close their breakers by it.
--
-- $1  text[]     domain
-- $2  integer[]  answers about policy, or "not now", since the last acceptance
-- $3  boolean[]  whether there was an acceptance
-- $4  integer    how many in a row open the breaker
-- $5  interval   the first pause; each one is twice as long as the one before
-- $6  interval   the longest pause
--
-- One row a breaker that has changed.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::integer[], $3::boolean[]) AS g (domain, refusals, is_well)
), counted AS (
    INSERT INTO portcullis.domain_trouble AS t (domain, in_a_row, is_well)
    SELECT g.domain, g.refusals, g.is_well FROM given g ORDER BY g.domain
    ON CONFLICT (domain) DO UPDATE
    SET in_a_row = CASE WHEN excluded.is_well THEN 0 ELSE t.in_a_row END + excluded.in_a_row, is_well = excluded.is_well, changed_at = now()
    RETURNING domain, in_a_row, is_well
), known AS MATERIALIZED (
    SELECT b.subject, b.state, b.openings, coalesce(b.held_closed_until > now(), false) AS may_not_open
    FROM portcullis.breaker b
    WHERE b.scope = 'domain' AND b.seen_by = '' AND b.subject = ANY ($1::text[])
    ORDER BY b.subject
    FOR UPDATE OF b
), decided AS MATERIALIZED (
    SELECT c.domain, c.in_a_row,
           CASE WHEN c.is_well AND k.state <> 'closed' THEN 'closed'
                WHEN k.state = 'probing' THEN 'open'
                WHEN c.in_a_row >= $4::integer AND NOT coalesce(k.may_not_open, false) AND coalesce(k.state, 'closed') = 'closed' THEN 'open'
           END AS state,
           CASE WHEN k.state = 'probing' THEN k.openings + 1 ELSE 1 END AS openings
    FROM counted c
    LEFT JOIN known k ON k.subject = c.domain
), opened AS (
    INSERT INTO portcullis.breaker AS b (scope, subject, state, cause, openings, retry_at)
    SELECT 'domain', d.domain, 'open', format('%s letters in a row were refused by policy, or for now', d.in_a_row), d.openings,
           now() + least($6::interval, $5::interval * 2 ^ least(d.openings - 1, 20))
    FROM decided d WHERE d.state = 'open'
    ON CONFLICT (scope, subject, seen_by) DO UPDATE
    SET state = 'open', cause = excluded.cause, openings = excluded.openings, retry_at = excluded.retry_at, changed_at = now(),
        changed_by = NULL, held_closed_until = NULL, opened_at = CASE b.state WHEN 'closed' THEN now() ELSE b.opened_at END
), ended AS (
    UPDATE portcullis.breaker b SET state = 'closed', retry_at = NULL, changed_at = now(), changed_by = NULL
    FROM decided d WHERE d.state = 'closed' AND b.scope = 'domain' AND b.seen_by = '' AND b.subject = d.domain
)
SELECT d.domain, d.state FROM decided d WHERE d.state IS NOT NULL
