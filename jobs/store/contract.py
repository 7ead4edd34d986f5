"""The contract with the main app: what the schema `directory` must offer, and a check that names whatever is missing.

The check runs before anything is created (`portcullis migrate`) and again whenever somebody asks (`portcullis doctor`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ID_TYPES = ("integer", "bigint", "uuid", "text")

_TEXT = frozenset({"text", "character varying", "character", "citext", "name"})
_BOOLEAN = frozenset({"boolean"})
_TIME = frozenset({"timestamp with time zone", "timestamp without time zone"})
_ANY: frozenset[str] = frozenset()

VIEWS: Mapping[str, Mapping[str, frozenset[str] | str]] = {
    "organization": {
        "organization_id": "organization",
        "name": _TEXT,
        "locale": _TEXT,
        "time_zone": _TEXT,
        "support_url": _TEXT,
    },
    "member": {
        "organization_id": "organization",
        "user_id": "member",
        "email": _TEXT,
        "email_verified": _BOOLEAN,
        "display_name": _TEXT,
        "locale": _TEXT,
        "time_zone": _TEXT,
        "kind": _TEXT,
        "has_password": _BOOLEAN,
        "has_sso": _BOOLEAN,
        "has_second_factor": _BOOLEAN,
        "is_active": _BOOLEAN,
    },
    "session": {
        "session_id": _ANY,
        "user_id": "member",
        "organization_id": "organization",
        "started_at": _TIME,
        "started_with": _TEXT,
    },
}
"""Column types per view: a set of types that will do, or the name of the id whose type it must have."""

ID_COLUMNS = {"member": ("member", "user_id"), "organization": ("organization", "organization_id")}
"""The column that each kind of id is seen at: its collation is the one that Portcullis sorts by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a view in `directory`, as the database's catalogue has it."""

    view: str
    name: str
    type: str
    collation: str | None = None
    """Quoted and with its schema; `None`: the database's own, or none at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSessions:
    """One function called `directory.end_sessions`: argument and result types, comma-separated."""

    arguments: str
    result: str


class ContractError(Exception):
    """`directory` does not offer what the contract asks. `faults` has one line for each reason."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("The schema `directory` does not keep the contract:\n" + "\n".join(f"  - {fault}" for fault in faults))


def find_faults(columns: Iterable[Column], functions: Iterable[EndSessions], *, member: str, organization: str) -> list[str]:
    """Return what is missing or ill-typed, in words; an empty list: the contract is kept.

    `member` and `organization` are the id types, each one of `ID_TYPES`.
    """
    ids = {"member": member, "organization": organization}
    columns = list(columns)
    seen = {(column.view, column.name): column.type for column in columns}
    faults = [
        fault
        for view, wanted in VIEWS.items()
        for fault in _view_faults(view, wanted, {name: type_ for (owner, name), type_ in seen.items() if owner == view}, ids)
    ]
    return faults + _collation_faults(columns) + _function_faults(list(functions), ids)


def declare_ids(columns: Iterable[Column], *, member: str, organization: str) -> dict[str, str]:
    """Return how SQL declares `member` and `organization` ids: the type, and the collation where that is not the database's own.

    A run cuts an organization into ranges in the order of the main app's column. The ledger must sort alike: else a member falls
    behind the end of their own range, and their letter is never found.
    """
    types = {"member": member, "organization": organization}
    collations = {(column.view, column.name): column.collation for column in columns}
    found = {id_: collations.get(place) for id_, place in ID_COLUMNS.items()}
    return {id_: types[id_] + (f" COLLATE {collation}" if collation else "") for id_, collation in found.items()}


def _view_faults(view: str, wanted: Mapping[str, frozenset[str] | str], found: Mapping[str, str], ids: Mapping[str, str]) -> list[str]:
    if not found:
        return [f"view directory.{view} is missing; it needs the columns {', '.join(wanted)}"]
    faults: list[str] = []
    for name, rule in wanted.items():
        if name not in found:
            faults.append(f"directory.{view} has no column {name}")
        elif isinstance(rule, str) and found[name] != ids[rule]:
            faults.append(
                f"directory.{view}.{name} is {found[name]}, but Portcullis is installed with --{rule}-id-type {ids[rule]}; "
                "choose the type of the main app's own key, a cast in the view would defeat its index"
            )
        elif not isinstance(rule, str) and rule and found[name] not in rule:
            faults.append(f"directory.{view}.{name} is {found[name]}; it must be {' or '.join(sorted(rule))}")
    return faults


def _collation_faults(columns: list[Column]) -> list[str]:
    seen = {(column.view, column.name): column for column in columns}
    rules = {(view, name): rule for view, wanted in VIEWS.items() for name, rule in wanted.items() if isinstance(rule, str)}
    pairs = [(seen[place], seen[ID_COLUMNS[id_]]) for place, id_ in rules.items() if place in seen and ID_COLUMNS[id_] in seen]
    return [
        f"directory.{column.view}.{column.name} has the collation {column.collation or 'of the database'}, but "
        f"directory.{first.view}.{first.name} has the collation {first.collation or 'of the database'}; "
        "ids of one kind need one collation, or no index of the one serves the other"
        for column, first in pairs
        if column.collation != first.collation
    ]


def _function_faults(functions: list[EndSessions], ids: Mapping[str, str]) -> list[str]:
    wanted = f"{ids['organization']}, {ids['member']}[], boolean"
    signature = f"directory.end_sessions({wanted}) returning rows (user_id {ids['member']}, ended bigint)"
    if not functions:
        return [f"function {signature} is missing"]
    fitting = [function for function in functions if function.arguments == wanted]
    if not fitting:
        return [f"function directory.end_sessions takes ({functions[0].arguments}); it must be {signature}"]
    if fitting[0].result != f"TABLE(user_id {ids['member']}, ended bigint)":
        return [f"function directory.end_sessions returns {fitting[0].result}; it must be {signature}"]
    return []


COLUMNS_QUERY = """
    SELECT c.relname::text AS view, a.attname::text AS name,
           pg_catalog.format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, NULL) AS type,
           (SELECT pg_catalog.format('%I.%I', s.nspname, l.collname) FROM pg_catalog.pg_collation l
            JOIN pg_catalog.pg_namespace s ON s.oid = l.collnamespace
            WHERE l.oid = a.attcollation AND l.collname <> 'default') AS collation
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'directory'
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE c.relname IN ('organization', 'member', 'session') AND c.relkind IN ('v', 'r', 'p', 'f', 'm')
"""

FUNCTIONS_QUERY = """
    SELECT pg_catalog.pg_get_function_result(p.oid) AS result,
           coalesce((SELECT string_agg(pg_catalog.format_type(t.oid, NULL), ', ' ORDER BY t.place)
                     FROM unnest(p.proargtypes) WITH ORDINALITY AS t (oid, place)), '') AS arguments
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'directory'
    WHERE p.proname = 'end_sessions' AND p.prokind <> 'p'
"""
