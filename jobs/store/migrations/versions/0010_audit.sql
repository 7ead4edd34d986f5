-- What was done, by whose order and when, chained so that a change to it shows (jobs/decisions/0005).
--
-- Nothing here is ever changed or deleted. People appear under pseudonyms: a member of a run as `delivery.subject`, whoever gave an order
-- as `audit_person.subject`. Who forgets somebody removes that mapping, not the record.

-- A member's pseudonym within one batch: 53 random bits, for 0.1 microseconds (a uuid takes 3, a third of all that a batch does). Rows
-- of earlier runs have none.
ALTER TABLE portcullis.delivery ADD COLUMN subject bigint;
ALTER TABLE portcullis.delivery ALTER COLUMN subject SET DEFAULT (random() * 9007199254740992)::bigint;

CREATE TABLE portcullis.audit_person (
    user_id portcullis.member_id PRIMARY KEY,
    subject uuid NOT NULL UNIQUE DEFAULT gen_random_uuid()
);

-- One row per transaction that has an effect, written in that transaction. `run_id` is the chain: a run, or 0 for what belongs to none.
--
-- `facts`: JSON, as it was written, to the byte.
-- `records`: what happened to each member, 13 bytes each: subject, a letter, a number. Of `enforced`: U P S E I, the verdict, in small
--   letters when it was revised, and sessions ended; of `notified`: A R D X C, what became of the letter, and attempts that counted.
-- `mac`: HMAC-SHA-256 of all that (jobs/audit/entries.py) by the worker whose transaction it is; null where a function of the database
--   wrote the row.
CREATE TABLE portcullis.audit_entry (
    entry_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      bigint NOT NULL CHECK (run_id >= 0),
    effect      text NOT NULL CHECK (effect ~ '^[a-z][a-z_]{0,39}$'),
    batch_id    bigint,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    facts       json NOT NULL,
    records     bytea CHECK (octet_length(records) % 13 = 0),
    key_id      text,
    mac         bytea CHECK (octet_length(mac) = 32),
    CHECK ((key_id IS NULL) = (mac IS NULL))
);

ALTER TABLE portcullis.audit_entry ALTER COLUMN records SET STORAGE EXTERNAL;  -- random bytes: compressing them costs time and gains nothing
CREATE INDEX audit_entry_of_run ON portcullis.audit_entry (run_id, entry_id);
CREATE INDEX audit_entry_turns ON portcullis.audit_entry (run_id) WHERE effect IN ('required', 'stopped', 'lifted');  -- a few of each run

-- The chain: each entry's keyed digest covers the one before. Written by whoever holds the keys, a moment after the entry.
CREATE TABLE portcullis.audit_seal (
    seal_id   bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    run_id    bigint NOT NULL,
    place     bigint NOT NULL CHECK (place > 0),
    entry_id  bigint NOT NULL UNIQUE,
    key_id    text NOT NULL,
    previous  bytea NOT NULL CHECK (octet_length(previous) = 32),
    digest    bytea NOT NULL CHECK (octet_length(digest) = 32),
    sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, place)
);

-- Signed now and then: how far each chain had come. `body` is what is signed (Ed25519), to the byte; each names the one before.
CREATE TABLE portcullis.audit_checkpoint (
    number    bigint PRIMARY KEY CHECK (number > 0),
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    key_id    text NOT NULL,
    body      text NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64)
);

-- What waits to be sealed: a list of work and no record.
CREATE TABLE portcullis.audit_unsealed (entry_id bigint PRIMARY KEY);

-- What the auditor found when it last looked; exported as metrics. `found` is in words, without names.
CREATE TABLE portcullis.audit_result (
    invariant  text PRIMARY KEY,
    ok         boolean NOT NULL,
    found      bigint NOT NULL DEFAULT 0,
    words      text,
    looked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds    double precision NOT NULL DEFAULT 0
);

CREATE FUNCTION portcullis.refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'portcullis.% is only ever added to', TG_TABLE_NAME
        USING ERRCODE = 'PC009', HINT = 'A record is no place for corrections: write another one.';
END
$$;

CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON portcullis.audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION portcullis.refuse_change();
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON portcullis.audit_seal
FOR EACH STATEMENT EXECUTE FUNCTION portcullis.refuse_change();
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON portcullis.audit_checkpoint
FOR EACH STATEMENT EXECUTE FUNCTION portcullis.refuse_change();
ALTER TABLE portcullis.audit_entry ENABLE ALWAYS TRIGGER only_added_to;
ALTER TABLE portcullis.audit_seal ENABLE ALWAYS TRIGGER only_added_to;
ALTER TABLE portcullis.audit_checkpoint ENABLE ALWAYS TRIGGER only_added_to;

CREATE FUNCTION portcullis.await_seal() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO portcullis.audit_unsealed (entry_id) VALUES (NEW.entry_id);
    RETURN NULL;
END
$$;

CREATE TRIGGER awaits_its_seal AFTER INSERT ON portcullis.audit_entry FOR EACH ROW EXECUTE FUNCTION portcullis.await_seal();

-- What a worker's code of an entry (`mac`) is about: a line each for what kind of entry it is, its run, its batch, when (microseconds of
-- Unix time) and its facts, then the records.
CREATE FUNCTION portcullis.audit_message(
    effect text, run_id bigint, batch_id bigint, happened_at timestamptz, facts text, records bytea
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT convert_to(effect || E'\n' || run_id || E'\n' || coalesce(batch_id::text, '-') || E'\n'
                      || (extract(epoch FROM happened_at) * 1000000)::bigint || E'\n' || facts || E'\n', 'UTF8')
           || coalesce(records, ''::bytea)
$$;

-- Write one entry, in the caller's transaction.
CREATE FUNCTION portcullis.write_audit(
    run_id bigint, effect text, facts jsonb, batch_id bigint DEFAULT NULL, records bytea DEFAULT NULL
) RETURNS void
LANGUAGE sql VOLATILE
AS $$
    INSERT INTO portcullis.audit_entry (run_id, effect, batch_id, facts, records)
    VALUES (coalesce(run_id, 0), effect, batch_id, jsonb_strip_nulls(facts)::text::json, records)
$$;

COMMENT ON FUNCTION portcullis.write_audit(bigint, text, jsonb, bigint, bytea) IS
    'Record an effect in the transaction that has it. A null run: it belongs to none. Facts must name nobody.';

CREATE FUNCTION portcullis.subject_of(user_id portcullis.member_id) RETURNS uuid
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    answer uuid;
BEGIN
    IF subject_of.user_id IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO portcullis.audit_person (user_id) VALUES (subject_of.user_id) ON CONFLICT DO NOTHING;
    SELECT p.subject INTO answer FROM portcullis.audit_person p WHERE p.user_id = subject_of.user_id;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION portcullis.subject_of(portcullis.member_id) IS 'Under which pseudonym the audit knows somebody who gave an order.';

-- The effects of the switch. Triggers, so that no function, program or hand can have the effect without the record.

CREATE FUNCTION portcullis.audit_run() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM portcullis.write_audit(NEW.run_id, 'required', jsonb_build_object(
            'organization', NEW.organization_id::text, 'epoch', NEW.epoch, 'by', portcullis.subject_of(NEW.requested_by),
            'reason', NEW.reason, 'exempt_kinds', to_jsonb(NEW.exempt_kinds)));
    ELSIF NEW.state = 'done' THEN
        PERFORM portcullis.write_audit(NEW.run_id, 'finished', jsonb_build_object(
            'members', NEW.totals -> 'members', 'verdicts', NEW.totals -> 'verdicts', 'sessions_ended', NEW.totals -> 'sessions_ended',
            'letters', NEW.totals -> 'letters', 'last_session_ended_at', NEW.totals -> 'last_session_ended_at'));
    ELSE
        PERFORM portcullis.write_audit(NEW.run_id, 'stopped', jsonb_build_object('because', NEW.stopped_because));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_begin AFTER INSERT ON portcullis.run FOR EACH ROW EXECUTE FUNCTION portcullis.audit_run();
CREATE TRIGGER audit_end AFTER UPDATE OF state ON portcullis.run
FOR EACH ROW WHEN (OLD.state = 'running' AND NEW.state <> 'running') EXECUTE FUNCTION portcullis.audit_run();

CREATE FUNCTION portcullis.audit_policy() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    run bigint;
BEGIN
    SELECT r.run_id INTO run FROM portcullis.run r WHERE r.organization_id = OLD.organization_id AND r.epoch = OLD.epoch;
    IF NEW.required THEN
        PERFORM portcullis.write_audit(run, 'changed', jsonb_build_object(
            'organization', NEW.organization_id::text, 'by', portcullis.subject_of(NEW.changed_by), 'reason', NEW.reason,
            'exempt_kinds', to_jsonb(NEW.exempt_kinds), 'effective_at', NEW.effective_at, 'grace', NEW.grace::text));
    ELSE
        PERFORM portcullis.write_audit(run, 'lifted', jsonb_build_object(
            'organization', NEW.organization_id::text, 'epoch', NEW.epoch, 'by', portcullis.subject_of(NEW.changed_by),
            'reason', NEW.reason));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_lift AFTER UPDATE ON portcullis.policy
FOR EACH ROW WHEN (OLD.required AND NOT NEW.required AND NEW.epoch > OLD.epoch) EXECUTE FUNCTION portcullis.audit_policy();
CREATE TRIGGER audit_change AFTER UPDATE ON portcullis.policy
FOR EACH ROW WHEN (OLD.required AND NEW.required AND NEW.epoch = OLD.epoch
                   AND (NEW.exempt_kinds, NEW.effective_at, NEW.grace) IS DISTINCT FROM (OLD.exempt_kinds, OLD.effective_at, OLD.grace))
EXECUTE FUNCTION portcullis.audit_policy();

-- What became of a batch of letters, when it is over, however that came. The ledger's rows are the record until then. Batches from which
-- no letter left have no entry. Planned for its values each time: a plan for any would read the whole run.
CREATE FUNCTION portcullis.audit_letters() RETURNS trigger
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM portcullis.write_audit(NEW.run_id, 'notified', jsonb_build_object(
            'stage', NEW.stage, 'accepted', NEW.accepted, 'refused', NEW.refused, 'uncertain', NEW.uncertain,
            'suppressed', NEW.suppressed, 'cancelled', NEW.cancelled),
        NEW.batch_id, (
            SELECT string_agg(
                int8send(d.subject) || CASE d.state WHEN 'accepted' THEN '\x41'::bytea WHEN 'refused' THEN '\x52'::bytea
                    WHEN 'uncertain' THEN '\x44'::bytea WHEN 'suppressed' THEN '\x58'::bytea ELSE '\x43'::bytea END
                || int4send(d.attempts), ''::bytea)
            FROM portcullis.delivery d
            WHERE d.run_id = NEW.run_id AND d.batch_id = NEW.batch_id AND d.subject IS NOT NULL
              AND d.slot = CASE WHEN NEW.stage = 'deferred' THEN 'notice' ELSE NEW.stage END
              AND (NEW.low IS NULL OR d.member_id >= NEW.low) AND (NEW.high IS NULL OR d.member_id < NEW.high)));
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_letters AFTER UPDATE OF done_at ON portcullis.batch
FOR EACH ROW WHEN (NEW.done_at IS NOT NULL AND NEW.state IN ('done', 'cancelled') AND (OLD.done_at IS NULL OR OLD.state = 'dead')
                   AND NEW.queue = 'notify' AND NEW.accepted + NEW.refused + NEW.uncertain > 0)
EXECUTE FUNCTION portcullis.audit_letters();

-- Orders that people give to Portcullis itself.
CREATE FUNCTION portcullis.audit_action() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM portcullis.write_audit(NEW.run_id, 'ordered', jsonb_build_object(
        'action', NEW.action_id, 'actor', NEW.actor, 'via', NEW.via, 'verb', NEW.verb, 'scope', NEW.scope, 'subject', NEW.subject,
        'reason', NEW.reason));
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_action AFTER INSERT ON portcullis.action FOR EACH ROW EXECUTE FUNCTION portcullis.audit_action();
