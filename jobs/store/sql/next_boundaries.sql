-- The member ids at which the next ranges of a plan begin, in order.
--
-- $1  portcullis.organization_id  organization
-- $2  portcullis.member_id        where the next range begins; null: at the beginning
-- $3  integer                     members a range
-- $4  integer                     ranges to cut at most
--
-- Fewer than $4 rows: the members are at an end, and the range after the last boundary is the last one.
SELECT cut.user_id
FROM (
    SELECT ordered.user_id, row_number() OVER (ORDER BY ordered.user_id) AS place
    FROM (
        SELECT m.user_id FROM directory.member m
        WHERE m.organization_id = $1::portcullis.organization_id AND ($2::portcullis.member_id IS NULL OR m.user_id >= $2::portcullis.member_id)
        ORDER BY m.user_id LIMIT $3::integer * $4::integer + 1
    ) ordered
) cut
WHERE cut.place > 1 AND cut.place % $3::integer = 1
ORDER BY cut.user_id
