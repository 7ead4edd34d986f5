-- The next letters of a batch, what each would be by now, and the address it would go to, without claiming them: what the limiter is
-- asked about.
--
-- $1  bigint                      batch
-- $2  bigint                      run
-- $3  text                        slot
-- $4  portcullis.organization_id  organization
-- $5  portcullis.member_id        first member of the range; null: open
-- $6  portcullis.member_id        first member behind the range; null: open
-- $7  integer                     letters at most
SELECT due.member_id, CASE WHEN due.first_tried_at IS NULL THEN m.email ELSE due.recipient END AS address,
       coalesce(due.letter, portcullis.letter_for(due.verdict)) AS letter
FROM (
    SELECT d.member_id, d.first_tried_at, d.recipient, d.letter, d.verdict
    FROM portcullis.delivery d
    WHERE d.run_id = $2 AND d.slot = $3 AND d.batch_id = $1
      AND ($5::portcullis.member_id IS NULL OR d.member_id >= $5::portcullis.member_id)
      AND ($6::portcullis.member_id IS NULL OR d.member_id < $6::portcullis.member_id)
      AND d.state IN ('owed', 'deferred') AND d.next_at <= now()
    ORDER BY d.member_id LIMIT $7::integer
) due
LEFT JOIN directory.member m ON m.organization_id = $4::portcullis.organization_id AND m.user_id = due.member_id
