-- Add what a process has counted since it last told, and say that it is alive. The same telling twice adds once.
--
-- $1  text                process
-- $2  text                its kind
-- $3  text                its version
-- $4  uuid                this telling
-- $5  double precision    longest time that its event loop was late since it last told, in seconds
-- $6  text[]              names
-- $7  text[]              labels of each, a JSON object
-- $8  double precision[]  what to add to each
WITH told AS (
    INSERT INTO portcullis.process AS p (process, kind, version, telling, loop_lag_seconds)
    VALUES ($1, $2, $3, $4::uuid, $5::double precision)
    ON CONFLICT (process) DO UPDATE
    SET kind = excluded.kind, version = excluded.version, telling = excluded.telling, loop_lag_seconds = excluded.loop_lag_seconds,
        seen_at = now()
    WHERE p.telling <> excluded.telling
    RETURNING p.process
)
INSERT INTO portcullis.metric AS m (name, labels, value)
SELECT g.name, g.labels::jsonb, g.amount
FROM unnest($6::text[], $7::text[], $8::double precision[]) AS g (name, labels, amount)
WHERE EXISTS (SELECT FROM told)
ORDER BY g.name, g.labels  -- one order for every process
ON CONFLICT (name, labels) DO UPDATE SET value = m.value + excluded.value
