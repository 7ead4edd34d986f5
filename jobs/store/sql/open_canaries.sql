-- Have the first letters of some kinds in a run go ahead of the others, unless that is so, or decided, already.
--
-- $1  bigint   run
-- $2  text[]   kinds of letters
-- $3  integer  how many go ahead
--
-- One row a kind that is not decided yet, or was decided against.
WITH opened AS (
    INSERT INTO portcullis.canary (run_id, letter, goal)
    SELECT $1, k.letter, $3::integer FROM unnest($2::text[]) k (letter) ORDER BY k.letter
    ON CONFLICT (run_id, letter) DO NOTHING
    RETURNING letter
)
SELECT o.letter FROM opened o
UNION ALL
SELECT c.letter FROM portcullis.canary c WHERE c.run_id = $1 AND c.letter = ANY ($2::text[]) AND c.state <> 'passed'
