-- The second factor that Portcullis ships for main apps that have none of their own.
--
-- Open for other kinds: whoever asks "is this member protected?" looks for a row of `factor`, whatever its kind. What only a time-based
-- code (TOTP) has stands in columns that other kinds leave null.
--
-- Three columns hold secrets, each one sealed with AES-256-GCM: factor.secret, pending_factor.secret, recovery_set.secret. The key's id
-- stands beside it; user, factor (or set) and key id are the associated data, so what is copied into another row does not open.
--
-- Lock order: 'login' of the organizations, advisory lock of the user, pending_factor, factor, holder, recovery_set, recovery_code.

-- A confirmed factor. One that was only begun is not here. A disabled one stays, and counts: otherwise a hundred wrong guesses would
-- turn somebody's second step off. Nobody gets past it but with a recovery code or an admin's reset.
CREATE TABLE portcullis.factor (
    factor_id    uuid PRIMARY KEY,
    user_id      portcullis.member_id NOT NULL,
    kind         text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,31}$'),
    confirmed_at timestamptz NOT NULL,
    last_used_at timestamptz,
    disabled_at  timestamptz,
    key_id       text,
    secret       bytea,
    -- The step (RFC 6238) of the last code that was accepted; it only ever rises, so that each code works once.
    last_step    bigint,
    CHECK (kind <> 'totp' OR (key_id IS NOT NULL AND secret IS NOT NULL AND last_step IS NOT NULL))
) WITH (fillfactor = 80);

CREATE INDEX factor_of_user ON portcullis.factor (user_id);
CREATE UNIQUE INDEX factor_one_totp ON portcullis.factor (user_id) WHERE kind = 'totp';

-- A factor that was begun: apart from the confirmed one, which goes on working until the new one is confirmed.
CREATE TABLE portcullis.pending_factor (
    user_id    portcullis.member_id NOT NULL,
    kind       text NOT NULL,
    factor_id  uuid NOT NULL,
    -- The confirmed factor that was shown when this one was begun. If another one is there by the time of the confirmation, somebody else
    -- was quicker, and this one is worth nothing.
    replaces   uuid,
    key_id     text NOT NULL,
    secret     bytea NOT NULL,
    tries      integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    begun_at   timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, kind)
);

-- How often somebody who had shown their first factor was wrong with the second. An attempt is written here, and committed, before the
-- code is looked at. `admitted`: whether the last attempt may be looked at; `turned_away` counts those that were not.
CREATE TABLE portcullis.holder (
    user_id      portcullis.member_id PRIMARY KEY,
    failures     integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    locked_until timestamptz,
    admitted     boolean NOT NULL,
    evaluated    bigint NOT NULL DEFAULT 0,
    turned_away  bigint NOT NULL DEFAULT 0,
    -- An admin took the factor away: the next one may only be begun by whoever has proved their address since.
    reset_at     timestamptz
) WITH (fillfactor = 70);

-- Recovery codes: 120 bits each, kept as HMAC-SHA-256 under a random key of the set, which is sealed like any secret. So a rotation of
-- the ring's keys seals the set's key anew and needs no code.
CREATE TABLE portcullis.recovery_set (
    user_id portcullis.member_id PRIMARY KEY,
    set_id  uuid NOT NULL UNIQUE,
    key_id  text NOT NULL,
    secret  bytea NOT NULL,
    made_at timestamptz NOT NULL
);

CREATE TABLE portcullis.recovery_code (
    set_id  uuid NOT NULL REFERENCES portcullis.recovery_set (set_id) ON DELETE CASCADE,
    digest  bytea NOT NULL CHECK (octet_length(digest) = 32),
    used_at timestamptz,
    PRIMARY KEY (set_id, digest)
);

-- One record per effect, written in its transaction. Nothing here is secret.
CREATE TABLE portcullis.factor_audit (
    audit_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at     timestamptz NOT NULL DEFAULT now(),
    effect          text NOT NULL CHECK (effect IN
                    ('added', 'replaced', 'removed', 'reset', 'disabled', 'recovery_used', 'recovery_renewed')),
    user_id         portcullis.member_id NOT NULL,
    -- Who did it: the member, or an admin; null: nobody, it happened by rule.
    done_by         portcullis.member_id,
    organization_id portcullis.organization_id,
    factor_id       uuid,
    kind            text,
    reason          text,
    is_override     boolean NOT NULL DEFAULT false,
    sessions_ended  bigint NOT NULL DEFAULT 0,
    origin          jsonb NOT NULL DEFAULT '{}',
    CHECK (effect <> 'reset' OR (done_by IS NOT NULL AND reason IS NOT NULL))
);

CREATE INDEX factor_audit_of_user ON portcullis.factor_audit (user_id, audit_id);

-- Letters that a member is owed about their factor, written in the transaction of what they tell. States as in `delivery`; `token` is
-- the fencing token, raised by each claim.
CREATE TABLE portcullis.factor_letter (
    letter_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      portcullis.member_id NOT NULL,
    letter       text NOT NULL CHECK (letter IN ('factor_added', 'factor_removed', 'recovery_used', 'factor_reset')),
    happened_at  timestamptz NOT NULL DEFAULT now(),
    done_by      portcullis.member_id,
    facts        jsonb NOT NULL DEFAULT '{}',
    state        text NOT NULL DEFAULT 'owed' CHECK (state IN
                 ('owed', 'sending', 'deferred', 'accepted', 'refused', 'uncertain', 'suppressed', 'cancelled')),
    token        bigint NOT NULL DEFAULT 0,
    attempts     smallint NOT NULL DEFAULT 0,
    doubts       smallint NOT NULL DEFAULT 0 CHECK (doubts <= 2),
    next_at      timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    frozen       jsonb,
    reason       text,
    relay_id     text,
    changed_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX factor_letter_due ON portcullis.factor_letter (next_at, letter_id) WHERE state IN ('owed', 'sending', 'deferred');

-- For the main app's view: `has_second_factor` of directory.member is this, or this OR what the app has of its own. A subquery with
-- LIMIT 1 is the one form that can't be computed over everybody instead.
CREATE FUNCTION portcullis.has_second_factor(user_id portcullis.member_id) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT (SELECT true FROM portcullis.factor f WHERE f.user_id = has_second_factor.user_id LIMIT 1) IS NOT NULL
$$;

COMMENT ON FUNCTION portcullis.has_second_factor(portcullis.member_id) IS
    'Whether this user has a confirmed factor of Portcullis'' own, of any kind. One index probe.';

CREATE FUNCTION portcullis.factor_lock_key(user_id portcullis.member_id) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT hashtextextended('portcullis factor ' || user_id::text, 0) $$;

-- The same race as between a sign-in and the switch, for one person: a thief's sign-in asks "is a code due?", the owner confirms a factor
-- and ends all other sessions, the thief's session is written. A sign-in shares the lock, a change of factors takes it alone.
CREATE FUNCTION portcullis.asks_second_factor(user_id portcullis.member_id) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
BEGIN
    PERFORM portcullis.check_isolation('asks_second_factor');
    PERFORM pg_advisory_xact_lock_shared(portcullis.factor_lock_key(asks_second_factor.user_id));
    RETURN portcullis.has_second_factor(asks_second_factor.user_id);
END
$$;

COMMENT ON FUNCTION portcullis.asks_second_factor(portcullis.member_id) IS
    'In the login transaction, before the session is written: whether this user must have shown a second factor. Holds off a change until the transaction ends.';
