-- Connect a Django app with django-allauth (account, mfa, usersessions, socialaccount) to Portcullis.
--
-- Ids keep their own types, here integer for users and bigint for organizations: a cast would hide the index.
-- Facts are looked up per member: `limit 1` keeps PostgreSQL from computing them over everybody, for every batch, as it would with
-- `exists` or an aggregate. The join is an outer one, so that whoever asks for ids only does not read the accounts.

create schema directory;

create view directory.organization as
select
    o.id              as organization_id,
    o.name::text      as name,
    o.locale::text    as locale,
    o.time_zone::text as time_zone,
    nullif(o.support_url, '') as support_url
from organizations_organization o;

create view directory.member as
select
    m.organization_id,
    m.user_id,
    (select e.email::text from account_emailaddress e where e.user_id = m.user_id and e."primary") as email,
    (select e.verified from account_emailaddress e where e.user_id = m.user_id and e."primary") is true as email_verified,
    nullif(concat_ws(' ', nullif(u.first_name, ''), nullif(u.last_name, '')), '') as display_name,
    null::text as locale,     -- allauth keeps neither; the organization's are used
    null::text as time_zone,
    m.kind::text as kind,
    u.password not like '!%' as has_password,  -- Django's mark of an unusable password
    -- Name your identity provider here (s.provider = '...') if people may sign in by others too.
    (select true from socialaccount_socialaccount s where s.user_id = m.user_id limit 1) is not null as has_sso,
    -- The two that allauth asks for at sign-in. A row is written once the first code was right; recovery codes alone are no factor.
    (select true from mfa_authenticator a where a.user_id = m.user_id and a.type in ('totp', 'webauthn') limit 1) is not null
        as has_second_factor,
    u.is_active
from organizations_membership m
left join auth_user u on u.id = m.user_id;

-- Live ones only: allauth's row outlives a session that expired or logged out. sign_in.py writes what is in `data`.
create view directory.session as
select
    s.session_key::text as session_id,
    s.user_id,
    null::bigint as organization_id,  -- a session is good for the whole account
    s.created_at as started_at,
    s.data ->> 'started_with' as started_with
from usersessions_usersession s
join django_session d on d.session_key = s.session_key
where d.expire_date > now()
  and not s.data @> '{"enrolment_only": true}';

-- Delete Django's row, which signs the client out, and allauth's with it. Called again it finds nothing and ends nothing.
create function directory.end_sessions(organization_id bigint, user_ids integer[], keep_sso boolean)
returns table (user_id integer, ended bigint)
begin atomic  -- names are bound now, whatever the worker's search_path
    with doomed as (
        select d.session_key, s.id, s.user_id, d.expire_date > now() as live
        from usersessions_usersession s
        join django_session d on d.session_key = s.session_key
        where s.user_id = any (user_ids)
          and not s.data @> '{"enrolment_only": true}'
          and not (keep_sso and s.data @> '{"started_with": "sso"}')
        order by d.session_key
        for update of d  -- one order for everybody: two organizations may share members
    ), signed_out as (
        delete from django_session d using doomed where d.session_key = doomed.session_key
    ), forgotten as (
        delete from usersessions_usersession s using doomed where s.id = doomed.id
    )
    select doomed.user_id, count(*) from doomed where doomed.live group by doomed.user_id;
end;
