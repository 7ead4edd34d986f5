-- What the breakers of letter kinds and recipient domains decide by.

-- How many letters of a kind may begin before it is known how the first of them fare. `run_id`: a run, whose first hundred of each kind
-- go ahead of the others; 0: the kind everywhere, there only while its breaker is open.
--
--   trying   at most `goal` begin; when as many are answered, the share that was refused for good decides
--   held     none begins until `retry_at`, when a few are tried
--   passed   any number begins
CREATE TABLE portcullis.canary (
    run_id     bigint NOT NULL,
    letter     text NOT NULL,
    state      text NOT NULL DEFAULT 'trying' CHECK (state IN ('trying', 'held', 'passed')),
    goal       integer NOT NULL CHECK (goal > 0),
    begun      integer NOT NULL DEFAULT 0,
    answered   integer NOT NULL DEFAULT 0,
    refused    integer NOT NULL DEFAULT 0,
    holds      integer NOT NULL DEFAULT 0,
    retry_at   timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, letter),
    CHECK ((state = 'held') = (retry_at IS NOT NULL))
) WITH (fillfactor = 50);

CREATE INDEX canary_unsettled ON portcullis.canary (state) WHERE state <> 'passed';

-- The newest answers to letters of each kind, some a row, as mailers told them; kept for as long as they are among the last 500 of
-- their kind, or of their run.
CREATE TABLE portcullis.letter_tally (
    tally_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    letter   text NOT NULL,
    run_id   bigint NOT NULL,
    answered integer NOT NULL,
    refused  integer NOT NULL,
    told_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX letter_tally_newest ON portcullis.letter_tally (letter, tally_id DESC);

-- Recipient domains whose last answers were all about policy or "not now", and how many in a row. One acceptance ends it.
CREATE TABLE portcullis.domain_trouble (
    domain     text PRIMARY KEY,
    in_a_row   integer NOT NULL,
    is_well    boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

COMMENT ON COLUMN portcullis.breaker.seen_by IS
    'relay: the mailer process; letter: '''' everywhere, ''run 7'' that run''s own, whose first hundred fared badly; domain: ''''';
