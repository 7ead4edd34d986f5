-- Close a breaker wherever it is seen open, and hold it closed if that is asked for.
--
-- $1  text      scope: relay, letter, domain
-- $2  text      subject
-- $3  interval  how long it may not open again; null: it may
-- $4  text      who
--
-- One row for each that there is, with whether it was changed. No row: it has never been open.
WITH found AS MATERIALIZED (
    SELECT b.scope, b.subject, b.seen_by, b.state <> 'closed' OR $3::interval IS NOT NULL AS is_changed
    FROM portcullis.breaker b WHERE b.scope = $1 AND b.subject = $2
    ORDER BY b.seen_by
    FOR UPDATE
), closed AS (
    UPDATE portcullis.breaker b
    SET state = 'closed', retry_at = NULL, held_closed_until = now() + $3::interval, changed_at = now(), changed_by = $4
    FROM found f
    WHERE b.scope = f.scope AND b.subject = f.subject AND b.seen_by = f.seen_by AND f.is_changed
)
SELECT f.seen_by, f.is_changed, pg_notify('portcullis', '') IS NULL AS is_told FROM found f
