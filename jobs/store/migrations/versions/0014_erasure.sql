-- What is left of a member who is forgotten: what was done, and not to whom.
--
-- Errors: PC010 still a member, PC011 no reason.

-- Rows of the ledger whose member was erased. They keep the sums; nothing leads back to a person.
CREATE TABLE portcullis.erased (
    run_id         bigint NOT NULL,
    slot           text NOT NULL,
    subject        bigint,
    batch_id       bigint NOT NULL,
    verdict        text NOT NULL,
    sessions_ended integer NOT NULL,
    state          text NOT NULL,
    attempts       smallint NOT NULL,
    erased_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX erased_of_run ON portcullis.erased (run_id);

-- When the rows of a run's members were removed, because they were old enough. Batches keep the counts, the audit keeps the record.
ALTER TABLE portcullis.run ADD COLUMN forgotten_at timestamptz;
CREATE INDEX run_to_forget ON portcullis.run (finished_at) WHERE forgotten_at IS NULL AND finished_at IS NOT NULL;

-- Whoever gave an order may be erased too; the audit knows them by a pseudonym that then leads nowhere.
ALTER TABLE portcullis.run ALTER COLUMN requested_by DROP NOT NULL;
ALTER TABLE portcullis.policy ALTER COLUMN changed_by DROP NOT NULL;
ALTER TABLE portcullis.factor_audit ALTER COLUMN user_id DROP NOT NULL, ADD COLUMN subject uuid, DROP CONSTRAINT factor_audit_check;
ALTER TABLE portcullis.factor_audit ADD CONSTRAINT factor_audit_check
    CHECK (effect <> 'reset' OR reason IS NOT NULL), ADD CHECK (user_id IS NOT NULL OR subject IS NOT NULL);

-- As before, without whoever was erased.
CREATE OR REPLACE FUNCTION portcullis.admins(organization_id portcullis.organization_id) RETURNS SETOF portcullis.member_id
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    IF to_regclass('directory.admin') IS NULL THEN
        RETURN QUERY
        SELECT p.changed_by FROM portcullis.policy p WHERE p.organization_id = admins.organization_id AND p.changed_by IS NOT NULL;
    ELSE
        -- By name at run time, like everything in `directory`: the view may come and go.
        RETURN QUERY EXECUTE 'SELECT a.user_id::portcullis.member_id FROM directory.admin a WHERE a.organization_id = $1'
            USING admins.organization_id;
    END IF;
END
$$;

-- As before, with what is left of members who were erased meanwhile.
CREATE OR REPLACE FUNCTION portcullis.audit_letters() RETURNS trigger
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM portcullis.write_audit(NEW.run_id, 'notified', jsonb_build_object(
            'stage', NEW.stage, 'accepted', NEW.accepted, 'refused', NEW.refused, 'uncertain', NEW.uncertain,
            'suppressed', NEW.suppressed, 'cancelled', NEW.cancelled),
        NEW.batch_id, (
            SELECT string_agg(
                int8send(l.subject) || CASE l.state WHEN 'accepted' THEN '\x41'::bytea WHEN 'refused' THEN '\x52'::bytea
                    WHEN 'uncertain' THEN '\x44'::bytea WHEN 'suppressed' THEN '\x58'::bytea ELSE '\x43'::bytea END
                || int4send(l.attempts), ''::bytea)
            FROM (
                SELECT d.subject, d.state, d.attempts
                FROM portcullis.delivery d
                WHERE d.run_id = NEW.run_id AND d.batch_id = NEW.batch_id
                  AND d.slot = CASE WHEN NEW.stage = 'deferred' THEN 'notice' ELSE NEW.stage END
                  AND (NEW.low IS NULL OR d.member_id >= NEW.low) AND (NEW.high IS NULL OR d.member_id < NEW.high)
                UNION ALL
                SELECT e.subject, e.state, e.attempts FROM portcullis.erased e WHERE e.run_id = NEW.run_id AND e.batch_id = NEW.batch_id
            ) l
            WHERE l.subject IS NOT NULL));
    RETURN NULL;
END
$$;

-- Forget one person: their rows in the ledgers of all runs, addresses, letters, factors, and under which pseudonym they gave orders.
--
-- In the middle of a run their letter is suppressed, or, if it is on its way, uncertain; the sums hold and the run ends. The ledger knows
-- their letters by the batch, so batches are locked first, and looked at again if a letter has moved meanwhile.
CREATE FUNCTION portcullis.erase_member(user_id portcullis.member_id, reason text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    key bigint;
    held bigint[] := '{}';
    wanted bigint[];
    addresses text[];
    rows_erased bigint;
    runs_touched bigint;
    factors bigint;
    orders bigint;
    answer jsonb;
BEGIN
    PERFORM portcullis.check_isolation('erase_member');
    IF btrim(coalesce(erase_member.reason, '')) = '' THEN
        RAISE EXCEPTION 'Somebody is erased for a reason' USING ERRCODE = 'PC011', HINT = 'Say why; do not name the person.';
    END IF;
    -- A batch that began before the member left the directory may be about to write them down: wait for it, and let no other begin.
    FOR key IN
        SELECT portcullis.lock_key('enforce', r.organization_id) AS key FROM portcullis.run r WHERE r.state = 'running' ORDER BY key
    LOOP
        PERFORM pg_advisory_xact_lock(key);
    END LOOP;
    IF EXISTS (SELECT FROM directory.member m WHERE m.user_id = erase_member.user_id) THEN
        RAISE EXCEPTION 'User % is still a member of an organization', erase_member.user_id
            USING ERRCODE = 'PC010',
                  HINT = 'Remove them from the main app first, in the same transaction if you like: the next batch would write them down again.';
    END IF;
    -- What is changed below the batches is locked above them, as everywhere: policy, run, batch, ledger.
    PERFORM FROM portcullis.policy p WHERE p.changed_by = erase_member.user_id ORDER BY p.organization_id FOR NO KEY UPDATE;
    PERFORM FROM portcullis.run r WHERE r.requested_by = erase_member.user_id ORDER BY r.run_id FOR NO KEY UPDATE;

    LOOP
        SELECT coalesce(array_agg(DISTINCT d.batch_id), '{}') INTO wanted
        FROM portcullis.run r
        CROSS JOIN unnest(ARRAY['notice', 'report', 'lifted', 'week', 'day']) AS s (slot)
        CROSS JOIN LATERAL (
            SELECT l.batch_id FROM portcullis.delivery l
            WHERE l.run_id = r.run_id AND l.slot = s.slot AND l.member_id = erase_member.user_id OFFSET 0) d;
        EXIT WHEN wanted <@ held;
        PERFORM FROM portcullis.batch b WHERE b.batch_id = ANY (wanted) ORDER BY b.batch_id FOR UPDATE;
        held := held || wanted;
    END LOOP;

    WITH gone AS (
        DELETE FROM portcullis.delivery d
        USING portcullis.batch b
        WHERE b.batch_id = ANY (held) AND d.batch_id = b.batch_id AND d.run_id = b.run_id
          AND d.slot = CASE WHEN b.stage = 'deferred' THEN 'notice' ELSE b.stage END AND d.member_id = erase_member.user_id
        RETURNING d.run_id, d.slot, d.subject, d.batch_id, d.verdict, d.sessions_ended, d.state AS state_before, d.attempts, d.recipient,
                  CASE WHEN d.state = 'sending' THEN 'uncertain'
                       WHEN d.state NOT IN ('owed', 'deferred') THEN d.state
                       WHEN b.state = 'cancelled' THEN 'cancelled' ELSE 'suppressed' END AS state,
                  b.state = 'cancelled' AS is_cancelled
    ), kept AS (
        INSERT INTO portcullis.erased (run_id, slot, subject, batch_id, verdict, sessions_ended, state, attempts)
        SELECT g.run_id, g.slot, g.subject, g.batch_id, g.verdict, g.sessions_ended, g.state, g.attempts FROM gone g
    ), counted AS (
        -- Of a cancelled batch the counters were moved when it was cancelled, but for what is on its way.
        UPDATE portcullis.batch b
        SET owed = b.owed - (g.state_before = 'owed' AND NOT g.is_cancelled)::integer,
            deferred = b.deferred - (g.state_before = 'deferred' AND NOT g.is_cancelled)::integer,
            suppressed = b.suppressed + (g.state = 'suppressed' AND g.state_before <> 'suppressed')::integer,
            sending = b.sending - (g.state_before = 'sending')::integer,
            uncertain = b.uncertain + (g.state_before = 'sending')::integer,
            next_at = CASE WHEN b.state = 'open' THEN least(b.next_at, now()) ELSE b.next_at END
        FROM gone g WHERE b.batch_id = g.batch_id AND g.state <> g.state_before
    )
    SELECT count(*), count(DISTINCT g.run_id), coalesce(array_agg(DISTINCT portcullis.address_key(g.recipient)) FILTER (WHERE g.recipient IS NOT NULL), '{}')
    INTO rows_erased, runs_touched, addresses FROM gone g;

    -- What runs remember beside the ledger: whom the report names, who ordered it, where ranges began.
    UPDATE portcullis.run r
    SET totals = jsonb_set(jsonb_set(r.totals, '{unreachable}', coalesce((
                     SELECT jsonb_agg(u ORDER BY place) FROM jsonb_array_elements(r.totals -> 'unreachable') WITH ORDINALITY AS e (u, place)
                     WHERE u ->> 'member_id' IS DISTINCT FROM erase_member.user_id::text), '[]')),
                 '{unreachable_more}', to_jsonb(coalesce((r.totals ->> 'unreachable_more')::bigint, 0) + 1))
    WHERE jsonb_path_exists(r.totals, '$.unreachable[*] ? (@.member_id == $who || @.member_id == $text)',
                            jsonb_build_object('who', to_jsonb(erase_member.user_id), 'text', erase_member.user_id::text));
    UPDATE portcullis.run r SET totals = r.totals || '{"requested_by": null}'
    WHERE r.requested_by = erase_member.user_id AND r.totals IS NOT NULL;
    UPDATE portcullis.run r SET requested_by = NULL, decided_by = NULL WHERE r.requested_by = erase_member.user_id;
    GET DIAGNOSTICS orders = ROW_COUNT;
    UPDATE portcullis.policy p SET changed_by = NULL WHERE p.changed_by = erase_member.user_id;
    UPDATE portcullis.run r SET planned_to = NULL WHERE r.planned_to = erase_member.user_id AND r.state <> 'running';
    UPDATE portcullis.batch b
    SET low = nullif(b.low, erase_member.user_id), high = nullif(b.high, erase_member.user_id)
    FROM portcullis.run r
    WHERE r.run_id = b.run_id AND NOT r.has_open_batches AND r.state <> 'running' AND b.state <> 'dead'
      AND (b.low = erase_member.user_id OR b.high = erase_member.user_id);
    DELETE FROM portcullis.joiner j WHERE j.user_id = erase_member.user_id;

    -- Their second factor, and what was written to them about it.
    WITH letters AS (
        DELETE FROM portcullis.factor_letter l WHERE l.user_id = erase_member.user_id RETURNING l.frozen ->> 'address' AS recipient
    )
    SELECT addresses || coalesce(array_agg(portcullis.address_key(l.recipient)) FILTER (WHERE l.recipient IS NOT NULL), '{}')
    INTO addresses FROM letters l;
    UPDATE portcullis.factor_letter l SET done_by = NULL, frozen = jsonb_set(l.frozen, '{done_by}', 'null')
    WHERE l.done_by = erase_member.user_id;
    DELETE FROM portcullis.recovery_set s WHERE s.user_id = erase_member.user_id;
    DELETE FROM portcullis.pending_factor p WHERE p.user_id = erase_member.user_id;
    DELETE FROM portcullis.factor f WHERE f.user_id = erase_member.user_id;
    GET DIAGNOSTICS factors = ROW_COUNT;
    DELETE FROM portcullis.holder h WHERE h.user_id = erase_member.user_id;
    UPDATE portcullis.factor_audit a
    SET user_id = NULL, subject = same.subject, done_by = nullif(a.done_by, erase_member.user_id), origin = '{}',
        reason = CASE WHEN a.reason IS NOT NULL THEN 'erased' END
    FROM (SELECT gen_random_uuid() AS subject) same
    WHERE a.user_id = erase_member.user_id;
    UPDATE portcullis.factor_audit a SET done_by = NULL WHERE a.done_by = erase_member.user_id;

    DELETE FROM portcullis.suppression s WHERE s.address = ANY (addresses COLLATE "C");
    DELETE FROM portcullis.audit_person p WHERE p.user_id = erase_member.user_id;

    answer := jsonb_build_object('ledger_rows', rows_erased, 'runs', runs_touched, 'orders', orders, 'factors', factors);
    PERFORM portcullis.write_audit(NULL, 'erased', answer || jsonb_build_object('reason', erase_member.reason));
    PERFORM pg_notify('portcullis', '');
    RETURN answer;
END
$$;

COMMENT ON FUNCTION portcullis.erase_member(portcullis.member_id, text) IS
    'Forget a person who is no longer a member anywhere: removes who it was, not what was done. Returns what was found of them.';

-- Remove rows of members of runs that ended longer ago than that, a bounded number at a time, and say which run and whether it is through.
-- No row: there is nothing to remove, or somebody else does it.
CREATE FUNCTION portcullis.forget_members(older_than interval, at_most integer) RETURNS TABLE (run_id bigint, removed bigint, is_through boolean)
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
