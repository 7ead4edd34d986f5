"""Who may do what in the schema `portcullis`: eight roles, one table. `portcullis migrate --roles` makes it so; `doctor` compares.

    owner      owns everything, for migrations; the functions of the contract run with its rights
    app        the main app: calls the contract's functions, and reads which factors there are, without their secrets
    worker     conductor, enforcers, mailers, the command line: everything that runs need, no secret of a second factor
    verifier   whoever looks at codes (`jobs.second_factor`): the secrets, and what goes with them
    console    the console and its API: what people order, its own operators; no secret of a member
    auditor    reads, and writes what it found
    metrics    reads counts, and nothing about members
    rotator    `portcullis rotate`: puts what is sealed, members' and operators', under another key, and does nothing else

They are group roles that can't sign in: `GRANT portcullis_worker TO your_login`. None of them, the owner included, can change a record of
the audit: the rights below add only, and triggers refuse the rest.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

PREFIX = "portcullis_"


class Role(StrEnum):
    """A group role; its name in PostgreSQL begins with `portcullis_`."""

    OWNER = "owner"
    APP = "app"
    WORKER = "worker"
    VERIFIER = "verifier"
    CONSOLE = "console"
    AUDITOR = "auditor"
    METRICS = "metrics"
    ROTATOR = "rotator"

    @property
    def sql_name(self) -> str:
        """Its name in PostgreSQL."""
        return PREFIX + self.value


Rights: TypeAlias = Mapping[Role, str]
"""What each role may do with a table: r read, a add, w change, d delete, as PostgreSQL's own abbreviations."""

APP, WORKER, VERIFIER, CONSOLE, AUDITOR, METRICS, ROTATOR = (
    *(Role.APP, Role.WORKER, Role.VERIFIER),
    *(Role.CONSOLE, Role.AUDITOR, Role.METRICS, Role.ROTATOR),
)

WORDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}

TABLES: dict[str, Rights] = {
    # The switch and its runs.
    "policy": {WORKER: "rw", VERIFIER: "r", CONSOLE: "rw", AUDITOR: "r", METRICS: "r"},
    "run": {WORKER: "rw", CONSOLE: "rw", AUDITOR: "r", METRICS: "r"},
    "batch": {WORKER: "raw", CONSOLE: "raw", AUDITOR: "r", METRICS: "r"},
    "delivery": {WORKER: "raw", CONSOLE: "rw", AUDITOR: "r"},
    "attempt": {WORKER: "a", CONSOLE: "r", AUDITOR: "r"},
    "joiner": {WORKER: "r", CONSOLE: "r", AUDITOR: "r"},
    "erased": {WORKER: "r", CONSOLE: "r", AUDITOR: "r"},
    # How the work is done.
    "request": {WORKER: "rawd", AUDITOR: "r"},
    "quarantine": {WORKER: "ra", CONSOLE: "r", AUDITOR: "r", METRICS: "r"},
    "leader": {WORKER: "raw", CONSOLE: "r", AUDITOR: "r", METRICS: "r"},
    "worker": {WORKER: "rawd", CONSOLE: "rw", AUDITOR: "r", METRICS: "r"},
    "metric": {WORKER: "raw", CONSOLE: "raw", AUDITOR: "r", METRICS: "raw"},
    "process": {WORKER: "rawd", CONSOLE: "rawd", AUDITOR: "r", METRICS: "rawd"},
    "canary": {WORKER: "rawd", CONSOLE: "r", AUDITOR: "r"},
    "letter_tally": {WORKER: "rawd", CONSOLE: "r", AUDITOR: "r", METRICS: "r"},
    "domain_trouble": {WORKER: "rawd", CONSOLE: "r", AUDITOR: "r"},
    "suppression": {WORKER: "rawd", CONSOLE: "rad", AUDITOR: "r"},
    "schema_version": {WORKER: "r", CONSOLE: "r", AUDITOR: "r", METRICS: "r", VERIFIER: "r"},
    # What people order.
    "action": {WORKER: "ra", CONSOLE: "ra", AUDITOR: "r"},
    "pause": {WORKER: "rad", CONSOLE: "rad", AUDITOR: "r", METRICS: "r"},
    "send_limit": {WORKER: "rawd", CONSOLE: "rawd", AUDITOR: "r", METRICS: "r"},
    "breaker": {WORKER: "rawd", CONSOLE: "rw", AUDITOR: "r", METRICS: "r"},
    # The record.
    "audit_entry": {WORKER: "ra", CONSOLE: "ra", AUDITOR: "r", METRICS: "r"},
    "audit_seal": {WORKER: "ra", CONSOLE: "r", AUDITOR: "r", METRICS: "r"},
    "audit_checkpoint": {WORKER: "ra", CONSOLE: "r", AUDITOR: "r", METRICS: "r"},
    "audit_unsealed": {WORKER: "rad", CONSOLE: "ra", AUDITOR: "r", METRICS: "r"},
    "audit_person": {WORKER: "ra", CONSOLE: "ra", AUDITOR: "r"},
    "audit_result": {WORKER: "r", CONSOLE: "r", AUDITOR: "raw", METRICS: "r"},
    # The second factor that Portcullis ships. Secrets are the verifier's alone.
    "pending_factor": {VERIFIER: "rawd"},
    "recovery_set": {VERIFIER: "rawd"},
    "recovery_code": {VERIFIER: "rawd"},
    "holder": {VERIFIER: "raw", AUDITOR: "r"},
    "factor": {VERIFIER: "rawd"},
    "factor_audit": {VERIFIER: "ra", WORKER: "r", CONSOLE: "r", AUDITOR: "r"},
    "factor_letter": {VERIFIER: "ra", WORKER: "rw", CONSOLE: "r", AUDITOR: "r"},
    # Who may sign in to the console.
    "operator": {CONSOLE: "rawd"},
    "operator_session": {CONSOLE: "rawd"},
    "operator_throttle": {CONSOLE: "rawd"},
    "api_token": {CONSOLE: "raw"},
}
"""Every table of the schema, and nothing that is not here is granted. A test holds this list against the schema."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Some columns of a table, and who has rights to them beside those to the whole table."""

    table: str
    names: tuple[str, ...]
    rights: Rights


COLUMNS = (
    # Whether somebody has a factor is no secret of the factor's.
    Columns(
        "factor",
        ("factor_id", "user_id", "kind", "confirmed_at", "last_used_at", "disabled_at"),
        {APP: "r", WORKER: "r", CONSOLE: "r", AUDITOR: "r"},
    ),
    # How many addresses are not written to names none.
    Columns("suppression", ("since",), {METRICS: "r"}),
    # What is sealed, and what a rotation finds it by.
    Columns("factor", ("factor_id", "user_id", "kind"), {ROTATOR: "r"}),
    Columns("factor", ("key_id", "secret"), {ROTATOR: "rw"}),
    Columns("pending_factor", ("factor_id", "user_id", "kind"), {ROTATOR: "r"}),
    Columns("pending_factor", ("key_id", "secret"), {ROTATOR: "rw"}),
    Columns("recovery_set", ("set_id", "user_id"), {ROTATOR: "r"}),
    Columns("recovery_set", ("key_id", "secret"), {ROTATOR: "rw"}),
    Columns("operator", ("operator_id", "name"), {ROTATOR: "r"}),
    Columns("operator", ("key_id", "secret", "pending_key_id", "pending_secret"), {ROTATOR: "rw"}),
)
"""Rights to columns only."""

CONTRACT = (
    "preview_second_factor",
    "require_second_factor",
    "require_second_factor_with",
    "change_second_factor",
    "lift_second_factor",
    "cancel_run",
    "sign_in_requirement",
    "gate",
    "run_status",
    "member_joined",
    "second_factor_deadline",
    "asks_second_factor",
    "erase_member",
)
"""Functions that the main app calls. They run with the owner's rights and a fixed search path, and so need no right of the caller's."""

KEEPERS: Mapping[str, frozenset[Role]] = {"forget_members": frozenset({WORKER}), "audit_factor": frozenset()}
"""Functions that do what no role may: they run with the owner's rights too, for these callers only; a trigger's has none."""

PLAIN = (
    "has_second_factor",
    "verdict",
    "letter_for",
    "session_requirement",
    "lock_key",
    "factor_lock_key",
    "check_isolation",
    "seconds_since",
    "factor_details",
)
"""Functions that anybody may call: they read nothing that the caller may not read."""

HELPERS: dict[Role, tuple[str, ...]] = {
    VERIFIER: ("admins", "complies", "runs_alone"),
    AUDITOR: ("is_paused", "pause_of", "fingerprint", "bare_error", "is_wanted", "gate", "run_status"),
    METRICS: ("is_paused", "pause_of", "fingerprint", "bare_error", "is_wanted", "gate"),
}
"""What a role calls beside that. Worker and console call everything but the keepers."""


def callers(function: str) -> frozenset[Role]:
    """Return who may call a function of that name; its owner may anyway."""
    if function in KEEPERS:
        return KEEPERS[function]
    if function in PLAIN:
        return frozenset(Role) - {Role.OWNER}
    contract = {APP, VERIFIER} if function in CONTRACT else set()
    return frozenset({WORKER, CONSOLE} | contract | {role for role, names in HELPERS.items() if function in names})


READERS = ", ".join(role.sql_name for role in (Role.OWNER, WORKER, VERIFIER, CONSOLE, AUDITOR))

IN_DIRECTORY = {
    f"GRANT USAGE ON SCHEMA directory TO {READERS}": "SELECT has_schema_privilege('portcullis_worker', 'directory', 'USAGE')",
    f"GRANT SELECT ON ALL TABLES IN SCHEMA directory TO {READERS}": (
        "SELECT has_schema_privilege('portcullis_worker', 'directory', 'USAGE')"
        " AND has_table_privilege('portcullis_worker', 'directory.member', 'SELECT')"
    ),
    f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA directory TO {READERS}": (
        "SELECT coalesce(bool_and(has_function_privilege('portcullis_worker', p.oid, 'EXECUTE')), false)"
        " FROM pg_proc p WHERE p.pronamespace = 'directory'::regnamespace"
    ),
    "ALTER FUNCTION directory.end_sessions SECURITY DEFINER": (
        "SELECT bool_or(p.prosecdef) FROM pg_proc p WHERE p.pronamespace = 'directory'::regnamespace AND p.proname = 'end_sessions'"
    ),
}
"""What the main app's schema has to allow, and how to ask whether it does: `directory` is not ours. `end_sessions` changes tables that are
the main app's business, so it must run with its owner's rights."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One right. `thing`: a table, or a function with its arguments; `column`: '' for the whole table."""

    thing: str
    column: str
    role: str
    privilege: str


def grants(functions: Iterable[str]) -> Iterator[Grant]:
    """Return every right that there should be, where there are these functions, each with its arguments."""
    for table, rights in TABLES.items():
        yield from _each(table, "", rights)
    for part in COLUMNS:
        for column in part.names:
            yield from _each(part.table, column, part.rights)
    for function in functions:
        name, _, _ = function.partition("(")
        yield from (Grant(function, "", role.sql_name, "EXECUTE") for role in callers(name))


def _each(table: str, column: str, rights: Rights) -> Iterator[Grant]:
    for role, letters in rights.items():
        yield from (Grant(table, column, role.sql_name, WORDS[letter]) for letter in letters)


FUNCTIONS = """
    SELECT replace(p.oid::regprocedure::text, 'portcullis.', '') AS function
    FROM pg_proc p WHERE p.pronamespace = to_regnamespace('portcullis')
"""
"""Every function with its arguments."""

GRANTED = """
    SELECT g.thing, g.attribute, r.rolname::text, g.privilege_type::text
    FROM (
        SELECT c.relname::text AS thing, '' AS attribute, a.grantee, a.privilege_type
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.relnamespace = to_regnamespace('portcullis') AND c.relkind IN ('r', 'p', 'v')
        UNION ALL
        SELECT c.relname::text, t.attname::text, a.grantee, a.privilege_type
        FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN LATERAL aclexplode(t.attacl) a
        WHERE c.relnamespace = to_regnamespace('portcullis')
        UNION ALL
        SELECT replace(p.oid::regprocedure::text, 'portcullis.', ''), '', a.grantee, a.privilege_type
        FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
        WHERE p.pronamespace = to_regnamespace('portcullis')
    ) g
    JOIN pg_roles r ON r.oid = g.grantee AND starts_with(r.rolname, 'portcullis_') AND r.rolname <> 'portcullis_owner'
"""
"""What is granted now, in the order of `Grant`'s fields."""

STANDING = """
    SELECT
        (SELECT array_agg(r.rolname::text) FROM pg_roles r WHERE starts_with(r.rolname, 'portcullis_')) AS roles,
        (SELECT n.nspowner::regrole::text FROM pg_namespace n WHERE n.nspname = 'portcullis') AS owner,
        (SELECT array_agg(p.proname::text) FROM pg_proc p
         WHERE p.pronamespace = to_regnamespace('portcullis') AND p.prosecdef) AS definers,
        (SELECT array_agg(p.proname::text) FROM pg_proc p
         WHERE p.pronamespace = to_regnamespace('portcullis') AND has_function_privilege('public', p.oid, 'EXECUTE')) AS public
"""
"""Which of the roles there are, who owns the schema, which functions run with their owner's rights, which anybody may call."""
