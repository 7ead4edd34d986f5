-- Who may sign in to the console: people of ops, who have nothing to do with the main app's users.
--
-- `secret` and `pending_secret` are sealed with AES-256-GCM as those of `factor`, bound to `operator_id`. Somebody without a password has
-- yet to use the invitation; nobody is ever let in by less than a password and a code.

CREATE TABLE portcullis.operator (
    name           text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._@+-]{0,63}$'),
    operator_id    uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    role           text NOT NULL CHECK (role IN ('viewer', 'operator')),
    added_at       timestamptz NOT NULL DEFAULT now(),
    -- SHA-256 of the one-time code that is handed over to begin with; gone once it was used.
    invitation     bytea CHECK (octet_length(invitation) = 32),
    invited_until  timestamptz,
    password_hash  text,
    key_id         text,
    secret         bytea,
    -- The step (RFC 6238) of the last code that was accepted; it only ever rises, so that each code works once.
    last_step      bigint NOT NULL DEFAULT -1,
    pending_key_id text,
    pending_secret bytea,
    time_zone      text,
    signed_in_at   timestamptz,
    CHECK ((password_hash IS NULL) = (secret IS NULL)),
    CHECK ((secret IS NULL) = (key_id IS NULL)),
    CHECK ((pending_secret IS NULL) = (pending_key_id IS NULL)),
    CHECK ((invitation IS NULL) = (invited_until IS NULL))
);

-- What a browser's cookie is good for; only its digest is kept. `is_full`: the other ones may set up what is missing, and nothing else.
CREATE TABLE portcullis.operator_session (
    digest     bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    name       text NOT NULL REFERENCES portcullis.operator ON DELETE CASCADE,
    is_full    boolean NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE INDEX operator_session_of ON portcullis.operator_session (name);

-- How often somebody was wrong, by what they were wrong with: a password from one address, a code behind the right password, an
-- invitation. An attempt is written here, and committed, before it is looked at.
CREATE TABLE portcullis.operator_throttle (
    key          text PRIMARY KEY,
    failures     integer NOT NULL CHECK (failures >= 0),
    locked_until timestamptz,
    admitted     boolean NOT NULL,
    tried_at     timestamptz NOT NULL
);

-- How much comes into a queue and leaves it in a minute, for whoever has to say when it will be empty.
ALTER TABLE portcullis.batch ADD COLUMN made_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX batch_made ON portcullis.batch (made_at);
CREATE INDEX batch_ended ON portcullis.batch (done_at) WHERE done_at IS NOT NULL;

-- The newest runs of one organization, and those in one state, page by page.
CREATE INDEX run_of_organization ON portcullis.run (organization_id, run_id);
CREATE INDEX run_by_state ON portcullis.run (state, run_id);
