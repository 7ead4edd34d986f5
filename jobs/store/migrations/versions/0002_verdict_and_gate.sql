-- The one definition of the verdict, and the two questions the main app asks of it.
--
-- Functions that touch `directory` are plpgsql: it binds names at run time, so that the app stays free to change its views.

-- First line that fits. Nulls fail closed. Each argument is used once, so that PostgreSQL inlines the function into its caller and
-- an EXISTS behind `has_second_factor` is only looked up for whom it matters.
CREATE FUNCTION portcullis.verdict(
    is_active boolean, has_password boolean, has_sso boolean, has_second_factor boolean, kind text, exempt_kinds text[]
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN NOT coalesce(is_active, true) THEN 'inactive'
        WHEN NOT coalesce(has_password, true) AND coalesce(has_sso, false) THEN 'sso'
        WHEN coalesce(has_second_factor, false) THEN 'protected'
        WHEN coalesce(kind = ANY (exempt_kinds), false) THEN 'exempt'
        ELSE 'unprotected'
    END
$$;

COMMENT ON FUNCTION portcullis.verdict(boolean, boolean, boolean, boolean, text, text[]) IS
    'What the requirement means for one member: inactive, sso, protected, exempt or unprotected. Shared by preview, gate, enforce and letters.';

-- The letter that a verdict calls for; null: none.
CREATE FUNCTION portcullis.letter_for(verdict text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE verdict
        WHEN 'unprotected' THEN 'signed_out'
        WHEN 'protected' THEN 'protected'
        WHEN 'sso' THEN 'single_sign_on'
        WHEN 'exempt' THEN 'exempt'
    END
$$;

-- What a session must do, given its member's verdict. The SSO exemption follows how the *session* was made: an SSO-born session of a
-- mixed account is served, and one of an SSO account that came in by the app's own ways, round the identity provider, is not. (Where
-- the app does not know how, or it is a token, an SSO account is left in peace: it has no password to come in with.)
CREATE FUNCTION portcullis.session_requirement(verdict text, started_with text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN verdict = 'sso' AND started_with IN ('password', 'remember_me', 'invitation', 'recovery') THEN 'second_factor_setup'
        WHEN verdict = 'unprotected' AND started_with IS DISTINCT FROM 'sso' THEN 'second_factor_setup'
        ELSE 'none'
    END
$$;

-- The key of an organization's advisory lock. Purpose 'login': sign-ins share it, a switch takes it alone. Purpose 'enforce': batches
-- share it, a lift or cancel takes it alone. Who needs both takes 'enforce' first, so that sign-ins never wait for a batch.
-- (64 bits: a collision makes two organizations wait for each other, nothing else.)
CREATE FUNCTION portcullis.lock_key(purpose text, organization_id portcullis.organization_id) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT hashtextextended('portcullis ' || purpose || ' ' || organization_id::text, 0) $$;

CREATE FUNCTION portcullis.gate(
    user_id portcullis.member_id, organization_id portcullis.organization_id, started_with text
) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    exempt text[];
    answer text;
BEGIN
    IF gate.organization_id IS NULL THEN
        SELECT max(portcullis.session_requirement(
                   portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, p.exempt_kinds),
                   gate.started_with))
        INTO answer
        FROM directory.member m
        JOIN portcullis.policy p ON p.organization_id = m.organization_id AND p.required
        WHERE m.user_id = gate.user_id;
        RETURN coalesce(answer, 'none');
    END IF;

    SELECT p.exempt_kinds INTO exempt FROM portcullis.policy p WHERE p.organization_id = gate.organization_id AND p.required;
    IF NOT FOUND THEN
        RETURN 'none';
    END IF;
    SELECT max(portcullis.session_requirement(
               portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, exempt),
               gate.started_with))
    INTO answer
    FROM directory.member m
    WHERE m.organization_id = gate.organization_id AND m.user_id = gate.user_id;
    RETURN coalesce(answer, 'none');
END
$$;

COMMENT ON FUNCTION portcullis.gate(portcullis.member_id, portcullis.organization_id, text) IS
    'Per request: ''none'' or ''second_factor_setup''. A null organization asks for all of the user''s organizations, the strictest wins. Never cache the answer.';

-- Whatever waits for a lock and then looks must see what was committed meanwhile: an older snapshot would miss a switch that was just
-- made, or a batch that a worker has just written.
CREATE FUNCTION portcullis.check_isolation(what text) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION '% must run under READ COMMITTED, not %', what, upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'PC006',
                  HINT = 'Begin the transaction with ISOLATION LEVEL READ COMMITTED: an older snapshot misses what was committed a moment ago.';
    END IF;
END
$$;

CREATE FUNCTION portcullis.sign_in_requirement(user_id portcullis.member_id, started_with text) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
    lock bigint;
BEGIN
    PERFORM portcullis.check_isolation('sign_in_requirement');
    FOR lock IN
        SELECT DISTINCT portcullis.lock_key('login', m.organization_id) AS lock FROM directory.member m
        WHERE m.user_id = sign_in_requirement.user_id ORDER BY lock
    LOOP
        PERFORM pg_advisory_xact_lock_shared(lock);
    END LOOP;
    -- A statement of its own, so that its snapshot is taken after the locks were granted.
    RETURN portcullis.gate(sign_in_requirement.user_id, NULL, sign_in_requirement.started_with);
END
$$;

COMMENT ON FUNCTION portcullis.sign_in_requirement(portcullis.member_id, text) IS
    'In the login transaction, before the session is written: ''none'' or ''second_factor_setup''. Holds off a switch until the transaction ends.';
