-- Have batches come back now whose letters were held back by a breaker.
WITH ours AS MATERIALIZED (
    SELECT b.batch_id FROM portcullis.batch b
    WHERE b.state = 'open' AND b.next_at > now() AND b.leased_until IS NULL AND starts_with(b.error, 'held back: ')
    ORDER BY b.batch_id
    FOR UPDATE OF b SKIP LOCKED
), woken AS (
    UPDATE portcullis.batch b SET next_at = now() FROM ours o WHERE b.batch_id = o.batch_id
    RETURNING b.batch_id
)
SELECT count(*) AS batches, pg_notify('portcullis', '') IS NULL AS is_told FROM woken
