-- Who runs an organization, as far as Portcullis can know: so that the last admin who complies isn't locked out by mistake.
--
-- An app that has admins offers a view `directory.admin (organization_id, user_id)`; it is no part of the contract. Without it the only
-- admin that is known is whoever changed the policy last.

CREATE FUNCTION portcullis.admins(organization_id portcullis.organization_id) RETURNS SETOF portcullis.member_id
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    IF to_regclass('directory.admin') IS NULL THEN
        RETURN QUERY SELECT p.changed_by FROM portcullis.policy p WHERE p.organization_id = admins.organization_id;
    ELSE
        -- By name at run time, like everything in `directory`: the view may come and go.
        RETURN QUERY EXECUTE 'SELECT a.user_id::portcullis.member_id FROM directory.admin a WHERE a.organization_id = $1'
            USING admins.organization_id;
    END IF;
END
$$;

COMMENT ON FUNCTION portcullis.admins(portcullis.organization_id) IS
    'Admins of an organization: directory.admin, if the app has that view, else whoever changed the policy last.';

CREATE FUNCTION portcullis.complies(
    organization_id portcullis.organization_id, user_id portcullis.member_id
) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    RETURN EXISTS (
        SELECT FROM directory.member m
        WHERE m.organization_id = complies.organization_id AND m.user_id = complies.user_id
          AND portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, NULL, '{}') IN ('protected', 'sso'));
END
$$;

COMMENT ON FUNCTION portcullis.complies(portcullis.organization_id, portcullis.member_id) IS
    'Whether this member would be let in under the requirement without any exemption: by a second factor or by SSO alone.';

-- Organizations that require a second factor and would have no complying admin but this user. `acting` is an admin who is known from
-- what they are doing, in `acting_for`.
CREATE FUNCTION portcullis.runs_alone(
    user_id portcullis.member_id, acting portcullis.member_id, acting_for portcullis.organization_id
) RETURNS SETOF portcullis.organization_id
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.organization_id
    FROM portcullis.policy p
    WHERE p.required
      AND p.organization_id IN (SELECT m.organization_id FROM directory.member m WHERE m.user_id = runs_alone.user_id)
      AND runs_alone.user_id IN (SELECT a FROM portcullis.admins(p.organization_id) a)
      AND portcullis.complies(p.organization_id, runs_alone.user_id)
      AND NOT EXISTS (
          SELECT FROM portcullis.admins(p.organization_id) other
          WHERE other <> runs_alone.user_id AND portcullis.complies(p.organization_id, other))
      AND NOT (p.organization_id = runs_alone.acting_for AND to_regclass('directory.admin') IS NULL
               AND runs_alone.acting <> runs_alone.user_id AND portcullis.complies(p.organization_id, runs_alone.acting))
    ORDER BY p.organization_id;
END
$$;

COMMENT ON FUNCTION portcullis.runs_alone(portcullis.member_id, portcullis.member_id, portcullis.organization_id) IS
    'Organizations that require a second factor and whose only complying admin this user is.';
