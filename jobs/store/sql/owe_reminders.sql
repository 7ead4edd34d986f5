-- Owe a reminder to everybody of a range who would be signed out if the requirement applied now.
--
-- $1  bigint                      batch
-- $2  bigint                      token of the claim
-- $3  bigint                      run
-- $4  text                        slot
-- $5  portcullis.organization_id  organization
-- $6  portcullis.member_id        first member of the range; null: open
-- $7  portcullis.member_id        first member behind the range; null: open
-- $8  text[]                      kinds that the policy exempts
--
-- No row: the claim is stale, the run is over, or the date has come, nothing was written. Rows that are there already are left alone.
WITH held AS MATERIALIZED (
    SELECT b.batch_id, r.effective_at
    FROM portcullis.batch b
    JOIN portcullis.run r ON r.run_id = b.run_id
    JOIN portcullis.policy p ON p.organization_id = r.organization_id
    WHERE b.batch_id = $1 AND b.token = $2 AND b.state = 'open' AND r.effective_at > now()
      AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)
    FOR UPDATE OF b
), added AS (
    INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state, letter)
    SELECT $3, $4, m.user_id, h.batch_id, 'unprotected', 'owed', 'reminder'
    FROM held h
    JOIN directory.member m ON m.organization_id = $5::portcullis.organization_id
    WHERE ($6::portcullis.member_id IS NULL OR m.user_id >= $6::portcullis.member_id)
      AND ($7::portcullis.member_id IS NULL OR m.user_id < $7::portcullis.member_id)
      AND portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, $8::text[]) = 'unprotected'
      -- Who joined lately may have more time than that.
      AND NOT EXISTS (SELECT FROM portcullis.joiner g
                      WHERE g.organization_id = $5::portcullis.organization_id AND g.user_id = m.user_id AND g.ends_at > h.effective_at)
    ON CONFLICT DO NOTHING
    RETURNING member_id
)
UPDATE portcullis.batch b SET owed = b.owed + counted.letters
FROM held h CROSS JOIN (SELECT count(*) AS letters FROM added) counted
WHERE b.batch_id = h.batch_id
RETURNING counted.letters
