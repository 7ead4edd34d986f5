-- Do what time and people have brought: pauses that are over, breakers that somebody has closed, runs that are over, mailers that are gone.
--
-- $1  integer   how many letters of a kind are tried after a pause
-- $2  interval  how long a letter that has begun may stay unanswered until another one takes its place among the first
--
-- The number of breakers that hold less back than before.
WITH due AS MATERIALIZED (
    SELECT c.run_id, c.letter,
           CASE WHEN b.state = 'closed' AND (c.state = 'held' OR c.holds > 0) THEN 'close'
                WHEN c.run_id <> 0 AND r.has_open_batches IS NOT TRUE THEN 'forget'
                WHEN c.state = 'held' AND c.retry_at <= now() THEN 'try'
                WHEN c.state = 'trying' AND c.begun > c.answered AND c.changed_at < now() - $2::interval THEN 'replace' END AS act
    FROM portcullis.canary c
    LEFT JOIN portcullis.run r ON r.run_id = c.run_id
    LEFT JOIN portcullis.breaker b
        ON b.scope = 'letter' AND b.subject = c.letter AND b.seen_by = CASE c.run_id WHEN 0 THEN '' ELSE format('run %s', c.run_id) END
    WHERE c.state <> 'passed'
    ORDER BY c.run_id, c.letter
    FOR UPDATE OF c SKIP LOCKED
), gone AS (
    DELETE FROM portcullis.canary c USING due d
    WHERE c.run_id = d.run_id AND c.letter = d.letter AND (d.act = 'forget' OR (d.act = 'close' AND d.run_id = 0))
), turned AS (
    UPDATE portcullis.canary c
    SET state = CASE d.act WHEN 'close' THEN 'passed' WHEN 'try' THEN 'trying' ELSE c.state END,
        retry_at = NULL, changed_at = now(),
        goal = CASE d.act WHEN 'try' THEN $1::integer ELSE c.goal END,
        begun = CASE d.act WHEN 'try' THEN 0 WHEN 'replace' THEN c.answered ELSE c.begun END,
        answered = CASE d.act WHEN 'try' THEN 0 ELSE c.answered END,
        refused = CASE d.act WHEN 'try' THEN 0 ELSE c.refused END
    FROM due d
    WHERE c.run_id = d.run_id AND c.letter = d.letter AND (d.act IN ('try', 'replace') OR (d.act = 'close' AND d.run_id <> 0))
), shown AS (
    UPDATE portcullis.breaker b
    SET state = CASE d.act WHEN 'try' THEN 'probing' ELSE 'closed' END, retry_at = NULL, changed_at = now(), changed_by = NULL
    FROM due d
    WHERE d.act IN ('try', 'forget') AND b.state <> 'closed' AND b.scope = 'letter' AND b.subject = d.letter
      AND b.seen_by = CASE d.run_id WHEN 0 THEN '' ELSE format('run %s', d.run_id) END
), fresh AS (
    -- What was counted before the breaker closed must not open it again.
    DELETE FROM portcullis.letter_tally t USING due d
    WHERE (d.act = 'close' OR (d.act = 'try' AND d.run_id <> 0)) AND d.run_id IN (0, t.run_id) AND t.letter = d.letter
), settled AS (
    DELETE FROM portcullis.canary c WHERE c.run_id = 0 AND c.state = 'passed'
    RETURNING c.letter
), fresh_too AS (
    DELETE FROM portcullis.letter_tally t USING settled s WHERE t.letter = s.letter
), well AS (
    DELETE FROM portcullis.domain_trouble t USING portcullis.breaker b
    WHERE b.scope = 'domain' AND b.subject = t.domain AND b.state = 'closed' AND b.changed_by IS NOT NULL AND b.changed_at > t.changed_at
), quiet AS (
    DELETE FROM portcullis.domain_trouble t WHERE t.in_a_row = 0 OR t.changed_at < now() - interval '1 day'
), gone_mailers AS (
    DELETE FROM portcullis.breaker b
    WHERE b.scope = 'relay' AND b.changed_at < now() - interval '30 seconds'
      AND NOT EXISTS (SELECT FROM portcullis.worker w WHERE w.worker = b.seen_by || '/notify' AND w.seen_at > now() - interval '30 seconds')
)
SELECT count(*) FILTER (WHERE d.act IN ('close', 'try')) + (SELECT count(*) FROM settled) AS released FROM due d
