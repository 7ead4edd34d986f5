-- How people steer: what is paused, which sending limits hold instead of the configured ones, which breakers are open, and who did what.

-- Every order that somebody gave, with its reason: from the command line, the console or its API. Rows are only ever added.
CREATE TABLE portcullis.action (
    action_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor           text NOT NULL CHECK (actor <> ''),
    via             text NOT NULL CHECK (via IN ('cli', 'console', 'api', 'worker')),
    verb            text NOT NULL CHECK (verb ~ '^[a-z][a-z_]{0,39}$'),
    scope           text NOT NULL DEFAULT '',
    subject         text NOT NULL DEFAULT '',
    run_id          bigint,
    organization_id portcullis.organization_id,
    reason          text NOT NULL CHECK (btrim(reason) <> ''),
    details         jsonb NOT NULL DEFAULT '{}'
);

CREATE INDEX action_of_run ON portcullis.action (run_id, action_id) WHERE run_id IS NOT NULL;
CREATE INDEX action_of_organization ON portcullis.action (organization_id, action_id) WHERE organization_id IS NOT NULL;

-- What is stopped until somebody says otherwise. The gate is not: it stands, whatever is paused here.
--
--   everything           no batch of any kind begins, and no letter leaves
--   queue       enforce | notify    `notify`: no letter leaves
--   organization  its id
--   run           its number
--
-- The settlement of what was cancelled goes on: it ends no session and sends nothing, it writes down what was decided.
CREATE TABLE portcullis.pause (
    scope     text NOT NULL CHECK (scope IN ('everything', 'queue', 'organization', 'run')),
    subject   text NOT NULL DEFAULT '',
    paused_by text NOT NULL,
    reason    text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, subject),
    CHECK ((scope = 'everything') = (subject = '')),
    CHECK (scope <> 'queue' OR subject IN ('enforce', 'notify'))
);

-- Asked for every batch that is hinted, claimed or gone on with; the table holds a handful of rows.
CREATE FUNCTION portcullis.is_paused(run_id bigint, organization_id portcullis.organization_id, queue text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT EXISTS (
        SELECT FROM portcullis.pause p
        WHERE p.scope = 'everything'
           OR (p.scope = 'queue' AND p.subject = is_paused.queue)
           OR (p.scope = 'organization' AND p.subject = is_paused.organization_id::text)
           OR (p.scope = 'run' AND p.subject = is_paused.run_id::text))
$$;

COMMENT ON FUNCTION portcullis.is_paused(bigint, portcullis.organization_id, text) IS
    'Whether the work of this run in this queue is stopped by somebody, itself or together with others.';

-- Sending limits that hold instead of the configured ones, from the next letters on. `subject`: one relay (host:port), organization or
-- recipient domain; '' is every one. `amount`: letters a second, for `quota` letters in 24 hours; 0 is no limit.
CREATE TABLE portcullis.send_limit (
    scope   text NOT NULL CHECK (scope IN ('relay', 'organization', 'domain', 'quota')),
    subject text NOT NULL DEFAULT '',
    amount  double precision NOT NULL CHECK (amount >= 0 AND amount < 'infinity'),
    set_by  text NOT NULL,
    reason  text NOT NULL,
    set_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, subject)
);

-- Breakers that are open, or were. `letter`: one kind of letter everywhere; `domain`: one recipient domain; `relay`: one relay, as one
-- mailer process sees it, in `seen_by`. `retry_at`: when it tries again by itself. `held_closed_until`: somebody said it may not open.
CREATE TABLE portcullis.breaker (
    scope             text NOT NULL CHECK (scope IN ('relay', 'letter', 'domain')),
    subject           text NOT NULL,
    seen_by           text NOT NULL DEFAULT '',
    state             text NOT NULL CHECK (state IN ('open', 'probing', 'closed')),
    cause             text NOT NULL,
    opened_at         timestamptz NOT NULL DEFAULT now(),
    openings          integer NOT NULL DEFAULT 1 CHECK (openings >= 1),
    retry_at          timestamptz,
    held_closed_until timestamptz,
    changed_at        timestamptz NOT NULL DEFAULT now(),
    changed_by        text,
    PRIMARY KEY (scope, subject, seen_by)
);

-- What of a dead batch's error is the same for all that died of one cause: without addresses, ids, numbers and earlier replays.
CREATE FUNCTION portcullis.bare_error(error text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT regexp_replace(error, '^(replayed|discarded) \(.*\) after: ', '')
$$;

CREATE FUNCTION portcullis.fingerprint(stage text, error text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT left(encode(sha256(convert_to(stage || ' ' || btrim(left(
        regexp_replace(regexp_replace(regexp_replace(
            lower(coalesce(portcullis.bare_error(error), '')),
            '\S*@\S*', '@', 'g'), '\S*\d\S*', '#', 'g'), '\s+', ' ', 'g'),
        200)), 'UTF8')), 'hex'), 12)
$$;

COMMENT ON FUNCTION portcullis.fingerprint(text, text) IS 'What dead batches of one stage and one cause have in common; 12 hexadecimal digits.';

-- `discarded_at`: somebody gave up what it owed; its letters are cancelled with that reason.
ALTER TABLE portcullis.batch
    ADD COLUMN discarded_at timestamptz,
    ADD COLUMN fingerprint text GENERATED ALWAYS AS (CASE WHEN state = 'dead' THEN portcullis.fingerprint(stage, error) END) STORED;

CREATE INDEX batch_dead_alike ON portcullis.batch (fingerprint, batch_id) WHERE state = 'dead';

-- What a process says of itself every few seconds, and what it is told in return. `held`: batches that it works on.
ALTER TABLE portcullis.worker
    ADD COLUMN host text,
    ADD COLUMN pid integer,
    ADD COLUMN held bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN is_draining boolean NOT NULL DEFAULT false,
    ADD COLUMN drain_ordered_at timestamptz,
    ADD COLUMN drain_ordered_by text;

-- The widest of the pauses that hold a run up: until that one ends, ending another changes nothing.
CREATE FUNCTION portcullis.pause_of(run_id bigint, organization_id portcullis.organization_id, queue text) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT jsonb_build_object('scope', p.scope, 'subject', p.subject, 'by', p.paused_by, 'reason', p.reason, 'at', p.paused_at)
    FROM portcullis.pause p
    WHERE p.scope = 'everything'
       OR (p.scope = 'queue' AND p.subject = pause_of.queue)
       OR (p.scope = 'organization' AND p.subject = pause_of.organization_id::text)
       OR (p.scope = 'run' AND p.subject = pause_of.run_id::text)
    ORDER BY array_position(ARRAY['everything', 'queue', 'organization', 'run'], p.scope) LIMIT 1
$$;

-- As before, and `paused`: null, or who stopped the run, or what it waits for, and why.
CREATE OR REPLACE FUNCTION portcullis.run_status(run_id bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    found portcullis.run;
    answer jsonb;
BEGIN
    SELECT * INTO found FROM portcullis.run r WHERE r.run_id = run_status.run_id;
    IF found.run_id IS NULL THEN
        RAISE EXCEPTION 'There is no run %', run_status.run_id USING ERRCODE = 'PC005', HINT = '`portcullis runs` lists them.';
    END IF;
    SELECT jsonb_build_object(
        'run_id', found.run_id,
        'organization_id', found.organization_id,
        'epoch', found.epoch,
        'state', found.state,
        'stage', CASE
            WHEN found.state <> 'running' THEN 'finish'
            WHEN bool_or(b.stage = 'plan' AND b.state IN ('open', 'dead')) THEN 'plan'
            WHEN bool_or(b.stage = 'enforce' AND b.state = 'open') THEN 'enforce'
            WHEN bool_or(b.stage = 'notice' AND b.state = 'open') THEN 'notify'
            ELSE 'finish' END,
        'members', coalesce(sum(b.members), 0),
        'verdicts', jsonb_build_object(
            'unprotected', coalesce(sum(b.unprotected), 0),
            'protected', coalesce(sum(b.protected), 0),
            'sso', coalesce(sum(b.sso), 0),
            'exempt', coalesce(sum(b.exempt), 0),
            'inactive', coalesce(sum(b.inactive), 0)),
        'sessions_ended', coalesce(sum(b.sessions_ended), 0),
        'letters', (
            SELECT jsonb_build_object(
                'owed', coalesce(sum(n.owed), 0), 'sending', coalesce(sum(n.sending), 0),
                'deferred', coalesce(sum(n.deferred), 0), 'accepted', coalesce(sum(n.accepted), 0),
                'refused', coalesce(sum(n.refused), 0), 'uncertain', coalesce(sum(n.uncertain), 0),
                'suppressed', coalesce(sum(n.suppressed), 0), 'cancelled', coalesce(sum(n.cancelled), 0))
            FROM portcullis.batch n WHERE n.run_id = found.run_id AND n.stage IN ('notice', 'deferred')),
        'batches', jsonb_build_object(
            'open', count(*) FILTER (WHERE b.state = 'open' AND b.stage <> 'finish'),
            'done', count(*) FILTER (WHERE b.state = 'done' AND b.stage <> 'finish'),
            'dead', count(*) FILTER (WHERE b.state = 'dead')),
        'requested_by', found.requested_by,
        'reason', found.reason,
        'stopped_because', found.stopped_because,
        'requested_at', found.requested_at,
        'effective_at', found.effective_at,
        'last_session_ended_at', max(b.done_at) FILTER (WHERE b.stage = 'enforce' AND b.sessions_ended > 0),
        'last_letter_at', max(b.last_letter_at) FILTER (WHERE b.stage IN ('notice', 'deferred')),
        'finished_at', found.finished_at,
        'errors', coalesce((
            SELECT jsonb_agg(e.line) FROM (
                SELECT format('%s batch %s (%s, attempt %s): %s', e.stage, e.batch_id, e.state, e.attempts, e.error) AS line
                FROM portcullis.batch e
                WHERE e.run_id = found.run_id AND e.error IS NOT NULL AND e.state IN ('open', 'dead')
                ORDER BY e.state, e.batch_id LIMIT 5) e), '[]'))
    INTO answer
    FROM portcullis.batch b WHERE b.run_id = found.run_id;
    RETURN answer || jsonb_build_object('paused', CASE WHEN found.has_open_batches THEN portcullis.pause_of(
        found.run_id, found.organization_id, CASE WHEN answer ->> 'stage' = 'notify' OR found.state <> 'running' THEN 'notify' ELSE 'enforce' END) END);
END
$$;
