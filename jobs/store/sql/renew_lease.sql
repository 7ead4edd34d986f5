-- Keep a claim for longer, while its letters are on their way.
--
-- $1  bigint    batch
-- $2  bigint    token of the claim
-- $3  interval  lease, from now
--
-- No row: the claim is stale.
UPDATE portcullis.batch b SET leased_until = clock_timestamp() + $3::interval
WHERE b.batch_id = $1 AND b.token = $2 AND b.state IN ('open', 'cancelled')
RETURNING b.batch_id
