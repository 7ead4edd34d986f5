-- Each attempt at a letter that was not accepted; the one that was is in the ledger. So a run in which all goes well writes nothing here.
--
-- Which mailer tried, under which token, and the relay's words. `outcome`:
--
--   refused     for good
--   deferred    the recipient's side may take it later
--   given_back  the relay's fault or the letter's own, nobody's attempt by the ladder
--   in_doubt    the final dot was written and no answer came
--   lost        a mailer ended before it had written down what became of it; it may have left
CREATE TABLE portcullis.attempt (
    run_id     bigint NOT NULL,
    slot       text NOT NULL,
    member_id  portcullis.member_id NOT NULL,
    attempt_id bigint GENERATED ALWAYS AS IDENTITY,
    batch_id   bigint NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('refused', 'deferred', 'given_back', 'in_doubt', 'lost')),
    tried_at   timestamptz NOT NULL DEFAULT now(),
    holder     text,
    token      bigint,
    relay      text,
    reason     text,
    PRIMARY KEY (run_id, slot, member_id, attempt_id)
);

-- Who goes out of the ledger, erased or forgotten, goes from here, and from what was counted of their batch. A trigger for whole
-- statements, and for deleting only: a foreign key would cost something each time that a letter is written down.
CREATE FUNCTION portcullis.forget_attempts() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM portcullis.attempt a
    WHERE a.ctid = ANY (ARRAY(
        SELECT t.place FROM gone g
        CROSS JOIN LATERAL (
            SELECT l.ctid AS place FROM portcullis.attempt l
            WHERE l.run_id = g.run_id AND l.slot = g.slot AND l.member_id = g.member_id OFFSET 0) t));
    UPDATE portcullis.batch b SET failures = portcullis.failures_of(b.run_id, b.batch_id, b.low, b.high)
    WHERE b.failures IS NOT NULL AND b.batch_id IN (SELECT g.batch_id FROM gone g);
    RETURN NULL;
END
$$;

CREATE TRIGGER forget_attempts AFTER DELETE ON portcullis.delivery REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION portcullis.forget_attempts();

-- What of a batch's notices did not arrive, by state, reason and mail domain, as it was when the batch was last closed, given back or
-- touched by what came later. Null: nothing, or nobody has counted since. So a page can add up a run without reading its ledger.
ALTER TABLE portcullis.batch ADD COLUMN failures jsonb;

-- The relay's words without what differs from letter to letter: addresses and whatever has digits in it, but for the codes.
CREATE FUNCTION portcullis.alike(reason text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT btrim(left(regexp_replace(regexp_replace(regexp_replace(
        reason, '\S*@\S*', '@', 'g'), '(?<!\S)(?!\d{3}(?!\S)|\d\.\d{1,3}\.\d{1,3}(?!\S))\S*\d\S*', '#', 'g'), '\s+', ' ', 'g'), 200))
$$;

-- Count that for one batch. The twenty largest groups by name; the rest only by state, reason and domain being null.
CREATE FUNCTION portcullis.failures_of(run_id bigint, batch_id bigint, low portcullis.member_id, high portcullis.member_id) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_agg(to_jsonb(f))
    FROM (
        SELECT g.state, CASE WHEN g.place <= 20 THEN g.reason END AS reason, CASE WHEN g.place <= 20 THEN g.domain END AS domain,
               sum(g.letters) AS letters, max(g.last_at) AS last_at
        FROM (
            SELECT d.state, d.reason, d.domain, count(*) AS letters, max(d.changed_at) AS last_at,
                   row_number() OVER (ORDER BY count(*) DESC, d.state, d.reason, d.domain) AS place
            FROM (
                SELECT l.state, portcullis.alike(coalesce(l.reason, '')) AS reason, l.changed_at,
                       lower(split_part(coalesce(l.recipient, ''), '@', 2)) AS domain
                FROM portcullis.delivery l
                WHERE l.run_id = failures_of.run_id AND l.slot = 'notice' AND l.batch_id = failures_of.batch_id
                  AND (l.state IN ('refused', 'uncertain', 'deferred', 'suppressed') OR (l.state = 'owed' AND l.reason IS NOT NULL))
                  -- Without a bound the run's own, so that an index is probed whatever is known of the bounds beforehand.
                  AND l.member_id >= coalesce(failures_of.low, (
                      SELECT m.member_id FROM portcullis.delivery m WHERE m.run_id = failures_of.run_id AND m.slot = 'notice'
                      ORDER BY m.member_id LIMIT 1))
                  AND l.member_id <= coalesce(failures_of.high, (
                      SELECT m.member_id FROM portcullis.delivery m WHERE m.run_id = failures_of.run_id AND m.slot = 'notice'
                      ORDER BY m.member_id DESC LIMIT 1))
            ) d
            GROUP BY d.state, d.reason, d.domain
        ) g
        GROUP BY 1, 2, 3
    ) f
$$;

COMMENT ON FUNCTION portcullis.failures_of(bigint, bigint, portcullis.member_id, portcullis.member_id) IS
    'Notices of one batch that did not arrive, grouped: [{state, reason, domain, letters, last_at}]; null: there are none.';

-- As before, without what was counted by reason and mail domain, which may tell of one person; first, because batches are locked before
-- the ledger.
CREATE OR REPLACE FUNCTION portcullis.forget_members(older_than interval, at_most integer) RETURNS TABLE (run_id bigint, removed bigint, is_through boolean)
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    old bigint;
    gone bigint;
    more bigint;
BEGIN
    -- Nobody's mistake forgets what is being done, or was done yesterday.
    IF forget_members.older_than < interval '1 day' OR NOT pg_try_advisory_xact_lock(hashtextextended('portcullis forgets', 0)) THEN
        RETURN;
    END IF;
    SELECT r.run_id INTO old FROM portcullis.run r
    WHERE r.forgotten_at IS NULL AND r.finished_at < now() - forget_members.older_than AND r.state <> 'running' AND NOT r.has_open_batches
    ORDER BY r.finished_at LIMIT 1;
    IF old IS NULL THEN
        RETURN;
    END IF;
    UPDATE portcullis.batch b SET failures = NULL WHERE b.run_id = old AND b.failures IS NOT NULL;
    DELETE FROM portcullis.delivery d
    WHERE d.ctid = ANY (ARRAY(SELECT l.ctid FROM portcullis.delivery l WHERE l.run_id = old LIMIT forget_members.at_most));
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM portcullis.erased e
    WHERE e.ctid = ANY (ARRAY(SELECT l.ctid FROM portcullis.erased l WHERE l.run_id = old LIMIT forget_members.at_most - gone));
    GET DIAGNOSTICS more = ROW_COUNT;
    IF gone + more < forget_members.at_most THEN
        UPDATE portcullis.batch b SET low = NULL, high = NULL WHERE b.run_id = old AND (b.low IS NOT NULL OR b.high IS NOT NULL);
        UPDATE portcullis.run r
        SET forgotten_at = now(), planned_to = NULL, decided_by = NULL,
            totals = CASE WHEN r.totals IS NOT NULL THEN r.totals || '{"unreachable": []}' END
        WHERE r.run_id = old;
        PERFORM portcullis.write_audit(old, 'forgotten', jsonb_build_object('older_than', forget_members.older_than::text));
    END IF;
    RETURN QUERY SELECT old, gone + more, gone + more < forget_members.at_most;
END
$$;
