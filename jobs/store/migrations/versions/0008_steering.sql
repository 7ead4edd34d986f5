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

-- What is stopped until somebody says otherwise. The gate is not: it stands, whatever is paused here.
--
--   everything           no batch of any kind begins
--   queue       enforce | notify    `notify`: no letter leaves
--   organization  its id
--   run           its number
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
