-- Write down what became of a letter about somebody's second factor. What is not settled two days after it happened is given up.
--
-- $1  bigint            letter
-- $2  bigint            token of the claim
-- $3  text              new state
-- $4  text              reason, or null
-- $5  text              the relay's id of the letter, or null
-- $6  double precision  seconds until it is due again
-- $7  smallint          attempts to add
-- $8  smallint          doubts to add
-- $9  boolean           whether the address is not to be written to again
--
-- No row: the claim is stale, nothing was written.
UPDATE portcullis.factor_letter l
SET state = CASE WHEN $3 IN ('owed', 'deferred') AND l.happened_at < now() - interval '48 hours' THEN 'refused' ELSE $3 END,
    reason = $4, relay_id = $5, next_at = now() + make_interval(secs => $6), attempts = l.attempts + $7, doubts = l.doubts + $8,
    leased_until = NULL, changed_at = now()
WHERE l.letter_id = $1 AND l.token = $2 AND l.state = 'sending'
RETURNING l.state, CASE WHEN $9 THEN portcullis.suppress(
    ARRAY[l.frozen ->> 'address'], 'refused', ARRAY[l.reason], ARRAY[NULL::bigint],
    ARRAY[(l.frozen ->> 'organization_id')::portcullis.organization_id]) END AS addresses
