-- The switch: preview it, require, lift, cancel.
--
-- Errors carry a SQLSTATE of class PC, a message that says what, and a hint that says what to do:
-- PC001 unknown organization, PC002 not an active member, PC003 does not comply, PC004 nothing to lift, PC005 unknown run,
-- PC006 wrong isolation level, PC007 the run is over.

CREATE FUNCTION portcullis.preview_second_factor(
    organization_id portcullis.organization_id, exempt_kinds text[] DEFAULT '{}'
) RETURNS TABLE (verdict text, kind text, members bigint, sessions bigint)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM directory.organization o WHERE o.organization_id = preview_second_factor.organization_id) THEN
        RAISE EXCEPTION 'There is no organization %', preview_second_factor.organization_id
            USING ERRCODE = 'PC001', HINT = 'Use an organization_id of the view directory.organization.';
    END IF;
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        -- The app's word may be of another text type; a function's rows are not cast.
        SELECT m.user_id, m.kind::text AS kind,
               portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind,
                                  preview_second_factor.exempt_kinds) AS verdict
        FROM directory.member m
        WHERE m.organization_id = preview_second_factor.organization_id
    ), ending AS (
        -- What the run will end: everything of an unprotected member but SSO-born sessions and those of another organization.
        SELECT s.user_id, count(*) AS sessions
        FROM directory.session s
        WHERE s.user_id IN (SELECT j.user_id FROM judged j WHERE j.verdict = 'unprotected')
          AND (s.organization_id IS NULL OR s.organization_id = preview_second_factor.organization_id)
          AND s.started_with IS DISTINCT FROM 'sso'
        GROUP BY s.user_id
    )
    SELECT j.verdict, j.kind, count(*), coalesce(sum(e.sessions), 0)::bigint
    FROM judged j
    LEFT JOIN ending e ON e.user_id = j.user_id AND j.verdict = 'unprotected'
    GROUP BY j.verdict, j.kind
    ORDER BY array_position(ARRAY['unprotected', 'protected', 'sso', 'exempt', 'inactive'], j.verdict), j.kind NULLS LAST;
END
$$;

COMMENT ON FUNCTION portcullis.preview_second_factor(portcullis.organization_id, text[]) IS
    'Who would be affected, by verdict and kind: members, and sessions that would be ended. Changes nothing.';

-- Whoever flips must be an active member who already complies: nobody locks themselves out.
CREATE FUNCTION portcullis.check_admin(organization_id portcullis.organization_id, requested_by portcullis.member_id) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    admin_verdict text;
BEGIN
    IF NOT EXISTS (SELECT FROM directory.organization o WHERE o.organization_id = check_admin.organization_id) THEN
        RAISE EXCEPTION 'There is no organization %', check_admin.organization_id
            USING ERRCODE = 'PC001', HINT = 'Use an organization_id of the view directory.organization.';
    END IF;
    SELECT portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, NULL, '{}') INTO admin_verdict
    FROM directory.member m
    WHERE m.organization_id = check_admin.organization_id AND m.user_id = check_admin.requested_by;
    IF admin_verdict IS NULL OR admin_verdict = 'inactive' THEN
        RAISE EXCEPTION 'User % is not an active member of organization %', check_admin.requested_by, check_admin.organization_id
            USING ERRCODE = 'PC002', HINT = 'The switch belongs to an active member of the organization; pass that person''s user_id.';
    ELSIF admin_verdict NOT IN ('protected', 'sso') THEN
        RAISE EXCEPTION 'User % of organization % has no second factor and would be locked out', check_admin.requested_by, check_admin.organization_id
            USING ERRCODE = 'PC003', HINT = 'Set up two-factor authentication first, then flip the switch.';
    END IF;
END
$$;

-- Whether a batch may still do its work: false for whatever an older flip of the switch began.
CREATE FUNCTION portcullis.is_wanted(
    stage text, run_state text, run_epoch bigint, required boolean, policy_epoch bigint
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE stage
        WHEN 'settle' THEN true
        WHEN 'lifted' THEN NOT required AND policy_epoch = run_epoch + 1
        WHEN 'report' THEN run_state = 'done' AND required AND policy_epoch = run_epoch
        WHEN 'deferred' THEN run_state IN ('running', 'done') AND required AND policy_epoch = run_epoch
        ELSE run_state = 'running' AND required AND policy_epoch = run_epoch
    END
$$;

-- Stop everything that is open in a run; the run's own state changes only if it was running. Letters not begun are cancelled: the
-- counters at once, the rows of the ledger by a batch of its own (`done_at` stays null until then), because a million rows don't belong
-- into the admin's transaction.
CREATE FUNCTION portcullis.stop_run(run_id bigint, because text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
BEGIN
    -- NO KEY: whoever holds a batch of this run and inserts another one looks for the run, and must not wait for us meanwhile.
    PERFORM FROM portcullis.run r WHERE r.run_id = stop_run.run_id FOR NO KEY UPDATE;
    UPDATE portcullis.run r SET state = 'cancelled', finished_at = now(), stopped_because = because
    WHERE r.run_id = stop_run.run_id AND r.state = 'running';
    PERFORM FROM portcullis.batch b WHERE b.run_id = stop_run.run_id AND b.state IN ('open', 'dead') ORDER BY b.batch_id FOR UPDATE;
    UPDATE portcullis.batch b
    SET state = 'cancelled', done_at = NULL, cancelled = b.cancelled + b.owed + b.deferred, owed = 0, deferred = 0
    WHERE b.run_id = stop_run.run_id AND b.state IN ('open', 'dead') AND b.stage <> 'settle';
    -- One for each stop: the one of an earlier stop may just have looked, and be about to close.
    INSERT INTO portcullis.batch (run_id, stage, urgency) VALUES (stop_run.run_id, 'settle', 2);
    UPDATE portcullis.run r SET has_open_batches = true WHERE r.run_id = stop_run.run_id;
END
$$;

CREATE FUNCTION portcullis.require_second_factor(
    organization_id portcullis.organization_id, requested_by portcullis.member_id, reason text, exempt_kinds text[] DEFAULT '{}'
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    exempt text[] := coalesce(require_second_factor.exempt_kinds, '{}');
    standing portcullis.policy;
    latest portcullis.run;
    new_epoch bigint;
    new_run bigint;
    earlier bigint;
BEGIN
    PERFORM portcullis.check_isolation('require_second_factor');
    PERFORM portcullis.check_admin(require_second_factor.organization_id, require_second_factor.requested_by);
    PERFORM pg_advisory_xact_lock(portcullis.lock_key('enforce', require_second_factor.organization_id));
    PERFORM pg_advisory_xact_lock(portcullis.lock_key('login', require_second_factor.organization_id));

    SELECT * INTO standing FROM portcullis.policy p WHERE p.organization_id = require_second_factor.organization_id FOR UPDATE;
    IF standing.required THEN
        SELECT * INTO latest FROM portcullis.run r WHERE r.organization_id = standing.organization_id AND r.epoch = standing.epoch;
        IF latest.state <> 'cancelled' THEN
            RETURN latest.run_id;
        END IF;
    END IF;

    -- Asked again under the locks: between the first look and now the admin may have lost the factor.
    PERFORM portcullis.check_admin(require_second_factor.organization_id, require_second_factor.requested_by);
    new_epoch := coalesce(standing.epoch, 0) + 1;
    INSERT INTO portcullis.policy AS p (organization_id, required, epoch, exempt_kinds, changed_by, reason)
    VALUES (require_second_factor.organization_id, true, new_epoch, exempt,
            require_second_factor.requested_by, require_second_factor.reason)
    ON CONFLICT (organization_id) DO UPDATE
    SET required = true, epoch = excluded.epoch, exempt_kinds = excluded.exempt_kinds, changed_by = excluded.changed_by,
        reason = excluded.reason, changed_at = now();

    -- Letters that an earlier run still owes would say what is no longer so.
    FOR earlier IN
        SELECT r.run_id FROM portcullis.run r
        WHERE r.organization_id = require_second_factor.organization_id AND r.has_open_batches ORDER BY r.run_id
    LOOP
        PERFORM portcullis.stop_run(earlier, 'superseded');
    END LOOP;

    INSERT INTO portcullis.run (organization_id, epoch, requested_by, reason, exempt_kinds, organization_name, organization_locale,
                                organization_time_zone, support_url, decided_by)
    SELECT o.organization_id, new_epoch, require_second_factor.requested_by, require_second_factor.reason,
           exempt, o.name, o.locale, o.time_zone, o.support_url,
           (SELECT m.display_name FROM directory.member m
            WHERE m.organization_id = o.organization_id AND m.user_id = require_second_factor.requested_by LIMIT 1)
    FROM directory.organization o
    WHERE o.organization_id = require_second_factor.organization_id
    RETURNING run_id INTO new_run;
    INSERT INTO portcullis.batch (run_id, stage, urgency) VALUES (new_run, 'plan', 0), (new_run, 'finish', 9);
    PERFORM pg_notify('portcullis', '');
    RETURN new_run;
END
$$;

COMMENT ON FUNCTION portcullis.require_second_factor(portcullis.organization_id, portcullis.member_id, text, text[]) IS
    'Switch on. Returns the run id; while a requirement stands and its run was not cancelled, the same one. Takes effect at the commit.';

CREATE FUNCTION portcullis.lift_second_factor(
    organization_id portcullis.organization_id, requested_by portcullis.member_id, reason text
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    standing portcullis.policy;
    latest bigint;
BEGIN
    PERFORM portcullis.check_isolation('lift_second_factor');
    PERFORM portcullis.check_admin(lift_second_factor.organization_id, lift_second_factor.requested_by);
    -- Waits for the batches in flight; when this transaction commits, no further session will be ended.
    PERFORM pg_advisory_xact_lock(portcullis.lock_key('enforce', lift_second_factor.organization_id));
    PERFORM pg_advisory_xact_lock(portcullis.lock_key('login', lift_second_factor.organization_id));
    -- Asked again under the locks: between the first look and now the admin may have lost the factor.
    PERFORM portcullis.check_admin(lift_second_factor.organization_id, lift_second_factor.requested_by);

    SELECT * INTO standing FROM portcullis.policy p WHERE p.organization_id = lift_second_factor.organization_id FOR UPDATE;
    IF standing.required IS NOT TRUE THEN
        RAISE EXCEPTION 'Organization % does not require a second factor', lift_second_factor.organization_id
            USING ERRCODE = 'PC004', HINT = 'There is nothing to lift; portcullis.policy says what stands.';
    END IF;
    UPDATE portcullis.policy p
    SET required = false, epoch = p.epoch + 1, changed_by = lift_second_factor.requested_by, reason = lift_second_factor.reason,
        changed_at = now()
    WHERE p.organization_id = lift_second_factor.organization_id;

    SELECT r.run_id INTO latest FROM portcullis.run r
    WHERE r.organization_id = standing.organization_id AND r.epoch = standing.epoch;
    PERFORM portcullis.stop_run(latest, 'lifted');
    -- Whoever got `signed_out` is told. Who that is is only known when the letters in flight have their outcomes, so the conductor
    -- hints these batches when the run is settled, and they read the ledger then.
    INSERT INTO portcullis.batch (run_id, stage, urgency, low, high)
    SELECT latest, 'lifted', 5, b.low, b.high
    FROM portcullis.batch b
    WHERE b.run_id = latest AND b.stage IN ('notice', 'deferred')
    GROUP BY b.low, b.high
    HAVING sum(b.accepted + b.uncertain + b.sending) > 0
    ORDER BY min(b.batch_id);
    PERFORM pg_notify('portcullis', '');
END
$$;

COMMENT ON FUNCTION portcullis.lift_second_factor(portcullis.organization_id, portcullis.member_id, text) IS
    'Switch off. When it returns, no further session will be ended; letters not begun are cancelled.';

CREATE FUNCTION portcullis.cancel_run(run_id bigint, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    found portcullis.run;
BEGIN
    PERFORM portcullis.check_isolation('cancel_run');
    SELECT * INTO found FROM portcullis.run r WHERE r.run_id = cancel_run.run_id;
    IF found.run_id IS NULL THEN
        RAISE EXCEPTION 'There is no run %', cancel_run.run_id USING ERRCODE = 'PC005', HINT = '`portcullis runs` lists them.';
    END IF;
    PERFORM pg_advisory_xact_lock(portcullis.lock_key('enforce', found.organization_id));
    SELECT * INTO found FROM portcullis.run r WHERE r.run_id = cancel_run.run_id FOR NO KEY UPDATE;
    IF found.state <> 'running' THEN
        RAISE EXCEPTION 'Run % is already %', cancel_run.run_id, found.state
            USING ERRCODE = 'PC007', HINT = 'Only a running run can be cancelled.';
    END IF;
    PERFORM portcullis.stop_run(cancel_run.run_id, coalesce(reason, 'cancelled'));
    PERFORM pg_notify('portcullis', '');
END
$$;

COMMENT ON FUNCTION portcullis.cancel_run(bigint, text) IS
    'Stop a run while the requirement, and so the gate, stands. A later require_second_factor opens a new epoch and run.';
