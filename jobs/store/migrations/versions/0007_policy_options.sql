-- Options of a requirement: a date from which it applies, and a personal grace for whoever joins later. Immediate stays the default.
--
-- Strictest and shortest win: over several organizations the first deadline that has passed counts. What is tightened holds at once; what
-- is loosened never gives back what had run out.

-- `effective_at` null: at once. `grace` null: none.
ALTER TABLE portcullis.policy
    ADD COLUMN effective_at timestamptz,
    ADD COLUMN grace interval CHECK (grace >= interval '0');

-- When the letters say that it applies; frozen with the run, and moved by a change of the date before it has come.
ALTER TABLE portcullis.run ADD COLUMN effective_at timestamptz;

-- Who joined while a requirement stood, and until when they have time. `ends_at` only ever moves while it lies ahead.
CREATE TABLE portcullis.joiner (
    organization_id portcullis.organization_id NOT NULL,
    user_id         portcullis.member_id NOT NULL,
    joined_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);

ALTER TABLE portcullis.batch DROP CONSTRAINT batch_stage_check;
ALTER TABLE portcullis.batch ADD CONSTRAINT batch_stage_check CHECK (stage IN
    ('plan', 'enforce', 'settle', 'finish', 'notice', 'deferred', 'report', 'lifted', 'remind_week', 'remind_day', 'week', 'day')) NOT VALID;
ALTER TABLE portcullis.batch VALIDATE CONSTRAINT batch_stage_check;

ALTER TABLE portcullis.delivery DROP CONSTRAINT delivery_slot_check;
ALTER TABLE portcullis.delivery ADD CONSTRAINT delivery_slot_check CHECK (slot IN ('notice', 'report', 'lifted', 'week', 'day')) NOT VALID;
ALTER TABLE portcullis.delivery VALIDATE CONSTRAINT delivery_slot_check;

-- A flip of the switch begins without options; who flips sets them in the same transaction.
CREATE FUNCTION portcullis.forget_options() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.effective_at := NULL;
    NEW.grace := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER a_flip_forgets_options BEFORE UPDATE ON portcullis.policy
FOR EACH ROW WHEN (NEW.epoch <> OLD.epoch) EXECUTE FUNCTION portcullis.forget_options();

-- As before, from the date on and not within somebody's grace: one probe of a table that is nearly always empty.
CREATE OR REPLACE FUNCTION portcullis.gate(
    user_id portcullis.member_id, organization_id portcullis.organization_id, started_with text
) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    exempt text[];
    answer text;
BEGIN
    IF gate.organization_id IS NULL THEN
        SELECT max(portcullis.session_requirement(
                   portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, p.exempt_kinds),
                   gate.started_with))
        INTO answer
        FROM directory.member m
        JOIN portcullis.policy p ON p.organization_id = m.organization_id AND p.required
             AND (p.effective_at IS NULL OR p.effective_at <= clock_timestamp())
        WHERE m.user_id = gate.user_id
          AND NOT EXISTS (SELECT FROM portcullis.joiner j
                          WHERE j.organization_id = m.organization_id AND j.user_id = gate.user_id AND j.ends_at > clock_timestamp());
        RETURN coalesce(answer, 'none');
    END IF;

    SELECT p.exempt_kinds INTO exempt FROM portcullis.policy p
    WHERE p.organization_id = gate.organization_id AND p.required AND (p.effective_at IS NULL OR p.effective_at <= clock_timestamp())
      AND NOT EXISTS (SELECT FROM portcullis.joiner j
                      WHERE j.organization_id = gate.organization_id AND j.user_id = gate.user_id AND j.ends_at > clock_timestamp());
    IF NOT FOUND THEN
        RETURN 'none';
    END IF;
    SELECT max(portcullis.session_requirement(
               portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, exempt),
               gate.started_with))
    INTO answer
    FROM directory.member m
    WHERE m.organization_id = gate.organization_id AND m.user_id = gate.user_id;
    RETURN coalesce(answer, 'none');
END
$$;

-- When a member has to have a second factor by: the earliest of their organizations, whether it has passed or not. Null: never.
CREATE FUNCTION portcullis.second_factor_deadline(user_id portcullis.member_id) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT min(greatest(coalesce(p.effective_at, p.changed_at), j.ends_at))
        FROM directory.member m
        JOIN portcullis.policy p ON p.organization_id = m.organization_id AND p.required
        LEFT JOIN portcullis.joiner j ON j.organization_id = m.organization_id AND j.user_id = m.user_id
        WHERE m.user_id = second_factor_deadline.user_id
          AND portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, p.exempt_kinds) = 'unprotected');
END
$$;

COMMENT ON FUNCTION portcullis.second_factor_deadline(portcullis.member_id) IS
    'By when this user has to set up a second factor, for a notice in the app: the earliest of their organizations. Null: they need not.';

-- Called by the main app in the transaction in which somebody joins. Without the call they have no grace; called twice, or after
-- they left and came back, it grants nothing new.
CREATE FUNCTION portcullis.member_joined(
    organization_id portcullis.organization_id, user_id portcullis.member_id
) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    deadline timestamptz;
BEGIN
    INSERT INTO portcullis.joiner (organization_id, user_id, joined_at, ends_at)
    SELECT p.organization_id, member_joined.user_id, now(), now() + coalesce(p.grace, interval '0')
    FROM portcullis.policy p
    WHERE p.organization_id = member_joined.organization_id AND p.required
    ON CONFLICT DO NOTHING;
    SELECT greatest(j.ends_at, p.effective_at) INTO deadline
    FROM portcullis.joiner j
    JOIN portcullis.policy p ON p.organization_id = j.organization_id AND p.required
    WHERE j.organization_id = member_joined.organization_id AND j.user_id = member_joined.user_id;
    RETURN deadline;
END
$$;

COMMENT ON FUNCTION portcullis.member_joined(portcullis.organization_id, portcullis.member_id) IS
    'In the transaction in which somebody joins: starts their personal grace, once. Returns until when they have time; null: nothing is required.';

CREATE FUNCTION portcullis.check_options(effective_at timestamptz, grace interval) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF effective_at > clock_timestamp() + interval '366 days' THEN
        RAISE EXCEPTION 'A requirement can''t apply from % on: that is more than a year away', effective_at
            USING ERRCODE = 'PC008', HINT = 'Give a date within a year, or none: then it applies at once.';
    ELSIF grace < interval '0' OR grace > interval '366 days' THEN
        RAISE EXCEPTION 'A grace of % is none', grace
            USING ERRCODE = 'PC008', HINT = 'Give a time of up to a year, or none.';
    END IF;
END
$$;

-- Move everything of a run that waits for the date: its plan, its end, and the reminders, which are made anew. Whoever got a reminder
-- already gets no second one of that kind.
CREATE FUNCTION portcullis.schedule_run(run_id bigint, effective_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    begins timestamptz := greatest(effective_at, now());
BEGIN
    UPDATE portcullis.run r SET effective_at = schedule_run.effective_at WHERE r.run_id = schedule_run.run_id;
    PERFORM portcullis.stop_reminders(schedule_run.run_id);
    UPDATE portcullis.batch b SET next_at = begins, hinted_at = NULL, hints = 0
    WHERE b.run_id = schedule_run.run_id AND b.stage IN ('plan', 'finish') AND b.state = 'open';
    -- A moment that has passed is now, as long as the next one is still to come.
    INSERT INTO portcullis.batch (run_id, stage, urgency, next_at)
    SELECT schedule_run.run_id, m.stage, 3, greatest(begins - m.before, now())
    FROM (VALUES ('remind_week', interval '7 days', interval '1 day'), ('remind_day', interval '1 day', interval '0')) m (stage, before, next)
    WHERE begins - m.next > now();
END
$$;

-- Reminders that have not left don't leave any more: the date has come or was moved. As `stop_run`, for them alone.
CREATE FUNCTION portcullis.stop_reminders(run_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM portcullis.batch b
    WHERE b.run_id = stop_reminders.run_id AND b.state IN ('open', 'dead') AND b.stage IN ('remind_week', 'remind_day', 'week', 'day')
    ORDER BY b.batch_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE portcullis.batch b
    SET state = 'cancelled', done_at = NULL, cancelled = b.cancelled + b.owed + b.deferred, owed = 0, deferred = 0
    WHERE b.run_id = stop_reminders.run_id AND b.state IN ('open', 'dead') AND b.stage IN ('remind_week', 'remind_day', 'week', 'day');
    INSERT INTO portcullis.batch (run_id, stage, urgency) VALUES (stop_reminders.run_id, 'settle', 2);
END
$$;

-- A run that is done owes no reminder.
CREATE FUNCTION portcullis.run_done_stops_reminders() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM portcullis.stop_reminders(NEW.run_id);
    RETURN NULL;
END
$$;

CREATE TRIGGER done_stops_reminders AFTER UPDATE OF state ON portcullis.run
FOR EACH ROW WHEN (NEW.state = 'done' AND OLD.state <> 'done' AND NEW.effective_at IS NOT NULL)
EXECUTE FUNCTION portcullis.run_done_stops_reminders();

-- Switch on with options. As `require_second_factor` while a requirement stands: the same run, and nothing changes.
CREATE FUNCTION portcullis.require_second_factor_with(
    organization_id portcullis.organization_id, requested_by portcullis.member_id, reason text, exempt_kinds text[],
    effective_at timestamptz, grace interval
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    run bigint;
    is_new boolean;
BEGIN
    PERFORM portcullis.check_options(require_second_factor_with.effective_at, require_second_factor_with.grace);
    run := portcullis.require_second_factor(
        require_second_factor_with.organization_id, require_second_factor_with.requested_by, require_second_factor_with.reason,
        require_second_factor_with.exempt_kinds);
    -- Opened by this transaction, and without a date so far.
    SELECT r.requested_at = now() AND r.effective_at IS NULL INTO is_new FROM portcullis.run r WHERE r.run_id = run AND r.state = 'running';
    IF is_new THEN
        UPDATE portcullis.policy p
        SET grace = require_second_factor_with.grace,
            effective_at = CASE WHEN require_second_factor_with.effective_at > now() THEN require_second_factor_with.effective_at END
        WHERE p.organization_id = require_second_factor_with.organization_id;
        IF require_second_factor_with.effective_at > now() THEN
            PERFORM portcullis.schedule_run(run, require_second_factor_with.effective_at);
        END IF;
    END IF;
    RETURN run;
END
$$;

COMMENT ON FUNCTION portcullis.require_second_factor_with(portcullis.organization_id, portcullis.member_id, text, text[], timestamptz, interval) IS
    'Switch on from a date (null: at once), with a personal grace for whoever joins later. Otherwise as require_second_factor.';

-- Change the options of a requirement that stands; null leaves one as it is. Returns the run that carries it out.
CREATE FUNCTION portcullis.change_second_factor(
    organization_id portcullis.organization_id, requested_by portcullis.member_id, reason text,
    exempt_kinds text[] DEFAULT NULL, effective_at timestamptz DEFAULT NULL, grace interval DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    standing portcullis.policy;
    run bigint;
    kinds text[];
    applies boolean;
BEGIN
    PERFORM portcullis.check_isolation('change_second_factor');
    PERFORM portcullis.check_options(change_second_factor.effective_at, change_second_factor.grace);
    PERFORM portcullis.check_admin(change_second_factor.organization_id, change_second_factor.requested_by);
    PERFORM pg_advisory_xact_lock(portcullis.lock_key('enforce', change_second_factor.organization_id));
    PERFORM pg_advisory_xact_lock(portcullis.lock_key('login', change_second_factor.organization_id));
    PERFORM portcullis.check_admin(change_second_factor.organization_id, change_second_factor.requested_by);
    SELECT * INTO standing FROM portcullis.policy p WHERE p.organization_id = change_second_factor.organization_id FOR UPDATE;
    IF standing.required IS NOT TRUE THEN
        RAISE EXCEPTION 'Organization % does not require a second factor', change_second_factor.organization_id
            USING ERRCODE = 'PC004', HINT = 'There is nothing to change; require_second_factor_with switches on with options.';
    END IF;
    SELECT r.run_id INTO run FROM portcullis.run r WHERE r.organization_id = standing.organization_id AND r.epoch = standing.epoch;
    kinds := coalesce(change_second_factor.exempt_kinds, standing.exempt_kinds);
    applies := standing.effective_at IS NULL OR standing.effective_at <= now();

    -- Kinds that were exempted and are no longer: their sessions end and everybody is told, by a run of its own.
    IF applies AND NOT standing.exempt_kinds <@ kinds THEN
        UPDATE portcullis.policy p SET required = false WHERE p.organization_id = standing.organization_id;
        run := portcullis.require_second_factor(
            change_second_factor.organization_id, change_second_factor.requested_by, change_second_factor.reason, kinds);
    ELSE
        UPDATE portcullis.run r SET exempt_kinds = kinds WHERE r.run_id = run AND r.state = 'running';
    END IF;
    -- What applies goes on applying: a later date would give back what has run out.
    UPDATE portcullis.policy p
    SET exempt_kinds = kinds, changed_by = change_second_factor.requested_by, reason = change_second_factor.reason, changed_at = now(),
        grace = coalesce(change_second_factor.grace, standing.grace),
        effective_at = CASE WHEN applies THEN coalesce(standing.effective_at, standing.changed_at)
                            ELSE coalesce(change_second_factor.effective_at, standing.effective_at) END
    WHERE p.organization_id = standing.organization_id;
    IF NOT applies AND change_second_factor.effective_at IS NOT NULL THEN
        PERFORM portcullis.schedule_run(r.run_id, greatest(change_second_factor.effective_at, now()))
        FROM portcullis.run r WHERE r.run_id = run AND r.state = 'running';
    END IF;
    -- Whose time has run out gets no more of it; everybody else has the new one, be it longer or shorter.
    IF change_second_factor.grace IS NOT NULL THEN
        UPDATE portcullis.joiner j SET ends_at = j.joined_at + change_second_factor.grace
        WHERE j.organization_id = standing.organization_id AND j.ends_at > now();
    END IF;
    PERFORM pg_notify('portcullis', '');
    RETURN run;
END
$$;

COMMENT ON FUNCTION portcullis.change_second_factor(portcullis.organization_id, portcullis.member_id, text, text[], timestamptz, interval) IS
    'Change exempted kinds, date or grace of a requirement that stands. Tightening holds at once; loosening never gives back what has run out.';
