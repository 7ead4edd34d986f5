-- Forget hints that could not be published, so that they are tried again at the next look.
--
-- $1  bigint[]  batches
UPDATE portcullis.batch b SET hinted_at = NULL, hints = greatest(b.hints - 1, 0)
WHERE b.batch_id = ANY ($1::bigint[]) AND b.state = 'open' AND b.leased_until IS NULL
