-- What the processes counted, added up; who of them is alive, and how well; and the tokens that programs use the API with.

-- Sums that only rise, each under its name and labels as Prometheus shows them. `labels` never name an organization, a member or a domain.
CREATE TABLE portcullis.metric (
    name   text NOT NULL,
    labels jsonb NOT NULL,
    value  double precision NOT NULL CHECK (value >= 0),
    PRIMARY KEY (name, labels)
) WITH (fillfactor = 50);

-- Every process that counts: conductors, enforcers, mailers. `telling` is the last addition to `metric` that it made, so that one
-- whose answer was lost is not made twice.
CREATE TABLE portcullis.process (
    process          text PRIMARY KEY,
    kind             text NOT NULL,
    version          text NOT NULL,
    telling          uuid NOT NULL,
    loop_lag_seconds double precision NOT NULL,
    started_at       timestamptz NOT NULL DEFAULT now(),
    seen_at          timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Of a token only the SHA-256 is kept: 256 random bits need no slow hash.
CREATE TABLE portcullis.api_token (
    token_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
    role       text NOT NULL CHECK (role IN ('viewer', 'operator')),
    digest     bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    used_at    timestamptz
);

CREATE UNIQUE INDEX api_token_name ON portcullis.api_token (name) WHERE revoked_at IS NULL;

CREATE FUNCTION portcullis.seconds_since(moment timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT greatest(0, coalesce(extract(epoch FROM now() - moment), 0))::double precision $$;

COMMENT ON FUNCTION portcullis.seconds_since(timestamptz) IS 'How long ago that was; 0 for what has not come yet, or never was.';
