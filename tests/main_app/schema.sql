-- What the reference main app with pages has on top of workers/demo/main_app.sql. Run once, after that file and after `portcullis migrate`.

-- A browser by the digest of its cookie. With a session: signed in with it (it may have ended since). Without: the password was right, a
-- code is due until `waits_until`. Every sign-in makes a new row, so that a cookie from before it is worth nothing (session fixation).
CREATE TABLE app.browsers (
    token_digest bytea PRIMARY KEY,
    user_id      bigint NOT NULL REFERENCES app.users,
    session_id   bigint REFERENCES app.sessions,
    waits_until  timestamptz NOT NULL,
    -- What a recovery code gave: it stands in for a code of the lost factor, in this session only.
    ticket       text
);

-- When an account was last seen in its owner's hands. A sign-in to an account that sleeps does not wake it: else a thief who signs in twice
-- would be a regular. Only a proved address does, or a factor.
CREATE TABLE app.activity (
    user_id        bigint PRIMARY KEY REFERENCES app.users,
    last_active_at timestamptz NOT NULL
);

-- Links mailed to an account's address. One proves the address to the session that asked for it, and to no other.
CREATE TABLE app.address_proofs (
    token_digest bytea PRIMARY KEY,
    session_id   bigint NOT NULL REFERENCES app.sessions,
    mailed_at    timestamptz NOT NULL DEFAULT now(),
    proved_at    timestamptz
);

CREATE INDEX address_proofs_by_session ON app.address_proofs (session_id, mailed_at);

CREATE TABLE app.admins (
    organization_id bigint NOT NULL,
    user_id         bigint NOT NULL,
    PRIMARY KEY (organization_id, user_id),
    FOREIGN KEY (organization_id, user_id) REFERENCES app.memberships (organization_id, user_id) ON DELETE CASCADE
);

CREATE VIEW directory.admin AS
SELECT organization_id, user_id FROM app.admins;

-- As in main_app.sql, but that a factor of Portcullis counts too.
CREATE OR REPLACE VIEW directory.member AS
SELECT
    membership.organization_id,
    membership.user_id,
    account.email,
    account.email_verified_at IS NOT NULL AS email_verified,
    account.display_name,
    account.locale,
    account.time_zone,
    membership.kind,
    account.password_hash IS NOT NULL AS has_password,
    (
        SELECT true FROM app.identities AS identity
        WHERE identity.user_id = membership.user_id
        LIMIT 1
    ) IS NOT NULL AS has_sso,
    portcullis.has_second_factor(membership.user_id) OR (
        SELECT true FROM app.second_factors AS factor
        WHERE factor.user_id = membership.user_id AND factor.confirmed_at IS NOT NULL
        LIMIT 1
    ) IS NOT NULL AS has_second_factor,
    account.deactivated_at IS NULL AS is_active
FROM app.memberships AS membership
LEFT JOIN app.users AS account ON account.user_id = membership.user_id;
