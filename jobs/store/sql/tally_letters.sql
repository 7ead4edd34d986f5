-- Count what letters met, by run and kind, and decide by it: canaries that have all their answers, and kinds too many of whose last
-- letters were refused.
--
-- $1   bigint[]          run
-- $2   text[]            kind of letter
-- $3   integer[]         letters answered
-- $4   integer[]         of them, refused for good
-- $5   integer[]         letters that had begun and came back unanswered
-- $6   integer[]         letters answered that had not been refused before
-- $7   integer[]         of them, refused for good
-- $8   double precision  the share from which on a kind is held
-- $9   integer           of how many letters, the newest
-- $10  integer           how many letters are tried after a pause
-- $11  interval          the first pause; each one is twice as long as the one before, in one run only while a quarter or more is refused
-- $12  interval          the longest pause
--
-- One row for each run and kind (run 0: everywhere) that was decided.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::integer[])
        AS g (run_id, letter, answered, refused, returned, first_answered, first_refused)
), counts AS MATERIALIZED (
    SELECT g.run_id, g.letter, g.answered, g.refused, g.returned FROM given g
    UNION ALL
    SELECT 0, g.letter, sum(g.answered), sum(g.refused), sum(g.returned) FROM given g GROUP BY g.letter
), locked AS MATERIALIZED (
    SELECT c.run_id, c.letter, n.returned, c.answered + n.answered AS answered, c.refused + n.refused AS refused, c.goal, c.holds,
           coalesce(b.held_closed_until > now(), false) AS may_not_hold
    FROM portcullis.canary c
    JOIN counts n ON n.run_id = c.run_id AND n.letter = c.letter
    LEFT JOIN portcullis.breaker b
        ON b.scope = 'letter' AND b.subject = c.letter AND b.seen_by = CASE c.run_id WHEN 0 THEN '' ELSE format('run %s', c.run_id) END
    WHERE c.state = 'trying'
    ORDER BY c.run_id, c.letter
    FOR UPDATE OF c
), decided AS MATERIALIZED (
    SELECT l.*, CASE WHEN l.answered < l.goal THEN 'trying'
                     WHEN l.refused > $8::double precision * l.answered AND NOT l.may_not_hold THEN 'held' ELSE 'passed' END AS state,
           -- A tenth is what old lists of addresses have, of every letter and for ever: longer pauses would only keep the others waiting.
           CASE WHEN l.run_id = 0 OR l.refused * 4 >= l.answered THEN least(l.holds, 20) ELSE 0 END AS doublings
    FROM locked l
), moved AS (
    UPDATE portcullis.canary c
    SET state = d.state, answered = d.answered, refused = d.refused, begun = greatest(c.begun - d.returned, d.answered),
        holds = c.holds + (d.state = 'held')::integer,
        retry_at = CASE d.state WHEN 'held' THEN now() + least($12::interval, $11::interval * 2 ^ d.doublings) END,
        changed_at = now()
    FROM decided d
    WHERE c.run_id = d.run_id AND c.letter = d.letter
    RETURNING c.run_id, c.letter, c.state, c.holds, c.retry_at, format('%s of %s were refused for good', c.refused, c.answered) AS cause
), noted AS (
    INSERT INTO portcullis.letter_tally (letter, run_id, answered, refused)
    SELECT g.letter, g.run_id, g.first_answered, g.first_refused FROM given g WHERE g.first_answered > 0
    RETURNING tally_id, letter, run_id, answered, refused
), known AS MATERIALIZED (
    SELECT t.tally_id, t.letter, t.run_id, t.answered, t.refused, t.told_at FROM portcullis.letter_tally t
    WHERE t.letter IN (SELECT n.letter FROM noted n)
    UNION ALL
    SELECT n.*, now() FROM noted n
), aged AS MATERIALIZED (
    -- How many newer answers there are to letters of the kind, and to those of the same run.
    SELECT k.*, sum(k.answered) OVER (PARTITION BY k.letter ORDER BY k.tally_id DESC) - k.answered AS newer,
           sum(k.answered) OVER (PARTITION BY k.letter, k.run_id ORDER BY k.tally_id DESC) - k.answered AS newer_in_run
    FROM known k
), forgotten AS (
    DELETE FROM portcullis.letter_tally t
    WHERE t.tally_id IN (
        SELECT o.tally_id FROM portcullis.letter_tally o JOIN aged a ON a.tally_id = o.tally_id
        WHERE a.newer >= $9::integer AND (a.newer_in_run >= $9::integer OR a.told_at < now() - interval '10 minutes')
        ORDER BY o.tally_id FOR UPDATE OF o SKIP LOCKED)
), suspects AS (
    -- Where fewer than so many are known, the missing ones count as accepted: two dead addresses of twenty say nothing about a letter.
    SELECT a.run_id, a.letter, sum(a.refused) AS refused, sum(a.answered) AS answered
    FROM aged a WHERE a.newer_in_run < $9::integer AND (a.run_id, a.letter) IN (SELECT n.run_id, n.letter FROM noted n)
    GROUP BY a.run_id, a.letter
    HAVING sum(a.refused) > $8::double precision * greatest(sum(a.answered), $9::integer)
), stopped AS (
    UPDATE portcullis.canary c
    SET state = 'held', goal = $10::integer, holds = c.holds + 1, changed_at = now(),
        retry_at = now() + least($12::interval, $11::interval * 2 ^ CASE WHEN s.refused * 4 >= s.answered THEN least(c.holds, 20) ELSE 0 END)
    FROM suspects s
    WHERE c.run_id = s.run_id AND c.letter = s.letter AND c.state = 'passed'
      AND NOT EXISTS (SELECT FROM portcullis.breaker b WHERE b.scope = 'letter' AND b.subject = c.letter
                      AND b.seen_by = format('run %s', c.run_id) AND b.held_closed_until > now())
    RETURNING c.run_id, c.letter, c.state, c.holds, c.retry_at, format('%s of the last %s were refused for good', s.refused, s.answered) AS cause
), newest AS (
    -- One list of old addresses must not stop everybody: no run counts for more than two fifths of what opens the breaker.
    SELECT r.letter, sum(r.refused) AS refused, sum(r.answered) AS answered,
           sum(least(r.refused, 0.4 * $8::double precision * $9::integer)) AS counted
    FROM (SELECT a.letter, a.run_id, sum(a.refused) AS refused, sum(a.answered) AS answered
          FROM aged a WHERE a.newer < $9::integer GROUP BY a.letter, a.run_id) r
    GROUP BY r.letter
), opened AS (
    INSERT INTO portcullis.canary (run_id, letter, state, goal, holds, retry_at)
    SELECT 0, n.letter, 'held', $10::integer, 1, now() + $11::interval
    FROM newest n
    WHERE n.counted > $8::double precision * greatest(n.answered, $9::integer)
      AND NOT EXISTS (SELECT FROM portcullis.breaker b
                      WHERE b.scope = 'letter' AND b.subject = n.letter AND b.seen_by = '' AND b.held_closed_until > now())
    ON CONFLICT (run_id, letter) DO NOTHING
    RETURNING run_id, letter, state, holds, retry_at,
              (SELECT format('%s of the last %s were refused for good', n.refused, n.answered) FROM newest n WHERE n.letter = canary.letter) AS cause
), decisions AS MATERIALIZED (
    SELECT * FROM moved m WHERE m.state <> 'trying'
    UNION ALL
    SELECT * FROM stopped
    UNION ALL
    SELECT * FROM opened
), shown AS (
    INSERT INTO portcullis.breaker AS b (scope, subject, seen_by, state, cause, openings, retry_at)
    SELECT 'letter', d.letter, CASE d.run_id WHEN 0 THEN '' ELSE format('run %s', d.run_id) END, 'open', d.cause, d.holds, d.retry_at
    FROM decisions d WHERE d.state = 'held'
    ON CONFLICT (scope, subject, seen_by) DO UPDATE
    SET state = 'open', cause = excluded.cause, openings = excluded.openings, retry_at = excluded.retry_at, changed_at = now(),
        changed_by = NULL, held_closed_until = NULL, opened_at = CASE b.state WHEN 'closed' THEN now() ELSE b.opened_at END
), ended AS (
    UPDATE portcullis.breaker b SET state = 'closed', retry_at = NULL, changed_at = now(), changed_by = NULL
    FROM decisions d
    WHERE d.state = 'passed' AND b.state <> 'closed' AND b.scope = 'letter' AND b.subject = d.letter
      AND b.seen_by = CASE d.run_id WHEN 0 THEN '' ELSE format('run %s', d.run_id) END
)
SELECT d.run_id, d.letter, d.state, d.cause FROM decisions d
