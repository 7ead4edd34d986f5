-- What happens to second factors is a part of the record: an entry in the chain of what belongs to no run, in the event's transaction.

-- What people typed and where they were is nothing for a record that is kept for good: it has a digest of them, salted, so that nobody
-- finds out by trying. The salt is forgotten with whom it was about. Events from before have none, and no entry.
ALTER TABLE portcullis.factor_audit ADD COLUMN salt uuid;
ALTER TABLE portcullis.factor_audit ALTER COLUMN salt SET DEFAULT gen_random_uuid();

CREATE FUNCTION portcullis.factor_details(salt uuid, reason text, origin jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT encode(sha256(convert_to(jsonb_build_array(salt, reason, origin)::text, 'UTF8')), 'hex') $$;

-- Runs with its owner's rights where there are roles: whoever looks at codes can't write anything else into the record.
CREATE FUNCTION portcullis.audit_factor() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- In one order, whoever did it to whom: two at once wait for each other, and not in a circle.
    INSERT INTO portcullis.audit_person (user_id)
    SELECT p.user_id FROM unnest(ARRAY[NEW.user_id, NEW.done_by]) AS p (user_id) WHERE p.user_id IS NOT NULL ORDER BY p.user_id
    ON CONFLICT DO NOTHING;
    PERFORM portcullis.write_audit(NULL, 'factor', jsonb_build_object(
        'event', NEW.audit_id, 'what', NEW.effect, 'whose', portcullis.subject_of(NEW.user_id), 'by', portcullis.subject_of(NEW.done_by),
        'at', (extract(epoch FROM NEW.happened_at) * 1000000)::bigint, 'organization', NEW.organization_id::text,
        'factor', NEW.factor_id, 'kind', NEW.kind, 'override', NEW.is_override, 'sessions_ended', NEW.sessions_ended,
        'details', portcullis.factor_details(NEW.salt, NEW.reason, NEW.origin)));
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_factor AFTER INSERT ON portcullis.factor_audit FOR EACH ROW EXECUTE FUNCTION portcullis.audit_factor();
CREATE INDEX audit_entry_of_factor ON portcullis.audit_entry (((facts ->> 'event')::bigint)) WHERE effect = 'factor';

CREATE FUNCTION portcullis.forget_salt() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.salt := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER forgets_its_salt BEFORE UPDATE ON portcullis.factor_audit
FOR EACH ROW WHEN (OLD.user_id IS NOT NULL AND NEW.user_id IS NULL) EXECUTE FUNCTION portcullis.forget_salt();
