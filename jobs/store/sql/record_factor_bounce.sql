-- Write down that a letter about somebody's second factor came back, and put its address on the list.
--
-- $1  bigint   letter
-- $2  text     letter's kind
-- $3  text     reason
-- $4  boolean  whether the address is not to be written to again
--
-- No row: there is no such letter. Otherwise the state that was found, and whether that is over now.
WITH found AS MATERIALIZED (
    SELECT l.letter_id, l.state FROM portcullis.factor_letter l WHERE l.letter_id = $1 AND l.letter = $2
), moved AS (
    UPDATE portcullis.factor_letter l
    SET state = 'refused', reason = $3, changed_at = now()
    FROM found f
    WHERE l.letter_id = f.letter_id AND l.state = f.state AND l.state IN ('accepted', 'uncertain')
    RETURNING l.frozen ->> 'address' AS address, (l.frozen ->> 'organization_id')::portcullis.organization_id AS organization_id
), listed AS MATERIALIZED (
    SELECT portcullis.suppress(ARRAY[m.address], 'bounce', ARRAY[$3], ARRAY[NULL::bigint], ARRAY[m.organization_id]) AS addresses
    FROM moved m WHERE $4
)
SELECT f.state, EXISTS (SELECT FROM moved) AS is_moved, coalesce((SELECT l.addresses FROM listed l), 0) AS addresses
FROM found f
