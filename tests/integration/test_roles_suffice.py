"""Each role has the rights that the statements of its processes need: every one is planned in that role, which asks for its rights."""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from jobs.store.roles import Role
from jobs.store.statements import statement
from tests.conftest import Databases
from tests.role_parts import a_database_with_roles, acting_as

ROOT = Path(__file__).parents[2] / "jobs"
NAMED = re.compile(r'(?:statement|RangeStatement\.load)\(\s*"([a-z0-9_]+)"')

MODULES = {
    Role.WORKER: (
        *(
            "store/batches",
            "store/runs",
            "store/deliveries",
            "store/reminders",
            "store/requests",
            "store/workers",
            "store/hints",
            "retention",
        ),
        *("store/breakers", "store/bounces", "store/suppressions", "store/send_limits", "store/counts", "store/operations", "store/audit"),
        *("store/steering/actions", "store/steering/breakers", "store/steering/dead", "store/steering/limits", "store/steering/pauses"),
        *("store/steering/workers", "second_factor/posting"),
    ),
    Role.VERIFIER: (
        *("second_factor/enrolment", "second_factor/verification", "second_factor/recovery", "second_factor/removal"),
        *(
            "second_factor/resetting",
            "second_factor/standing",
            "second_factor/ledger",
            "second_factor/session_ends",
            "second_factor/numbers",
        ),
    ),
    Role.CONSOLE: (
        *("operators/sessions", "operators/roster", "operators/throttle", "operators/enrolling", "operators/signing_in"),
        *(
            "store/tokens",
            "store/views/members",
            "store/views/runs",
            "store/views/queues",
            "store/views/audit",
            "store/operations",
            "store/send_limits",
        ),
        *("store/steering/actions", "store/steering/breakers", "store/steering/dead", "store/steering/limits", "store/steering/pauses"),
        *("store/steering/workers", "store/counts"),
    ),
    Role.METRICS: ("store/measures", "store/counts", "store/send_limits"),
}

NOT_THEIRS = {(Role.WORKER, "write_audit_result")}
"""What stands in the same module and is another role's business."""

CHECKS = [path.stem for path in sorted((ROOT / "store" / "sql").glob("check_i*.sql"))]
AUDITORS = (
    *(
        "write_audit_result",
        "list_enforced_since",
        "find_entry_of_yesterday",
        "find_audit_horizon",
        "find_checkpoint",
        "find_last_checkpoint",
        "stream_audit",
        "stream_unsealed_entries",
        "stream_checkpoints",
    ),
    *(
        "compare_audit",
        "compare_switches",
        "compare_orders",
        "compare_factors",
        "find_record_times",
        "tally_ledger",
        "prove_run",
        "find_seals",
        "count_uncheckpointed",
        "has_audit_seal",
        "is_seal_followed",
    ),
)


def needs() -> Iterator[tuple[Role, str]]:
    for role, modules in MODULES.items():
        names = {name for module in modules for name in NAMED.findall((ROOT / f"{module}.py").read_text(encoding="utf-8"))}
        yield from ((role, name) for name in sorted(names) if (role, name) not in NOT_THEIRS)
    yield from ((Role.AUDITOR, name) for name in (*CHECKS, *AUDITORS))


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with a_database_with_roles(databases) as url:
        yield url


@pytest.mark.parametrize(("role", "name"), list(needs()))
async def test_a_role_may_run_the_statements_of_its_processes(url: str, role: Role, name: str) -> None:
    async with acting_as(url, role) as db:
        prepared = await db.prepare(statement(name))
        nulls = ", ".join("NULL" for _ in prepared.get_parameters())
        await db.execute(f"PREPARE asked AS {statement(name)}")
        try:
            await db.execute(f"EXPLAIN EXECUTE asked({nulls})" if nulls else "EXPLAIN EXECUTE asked")
        except asyncpg.InsufficientPrivilegeError as error:
            pytest.fail(f"{role} lacks a right: {error}")


@pytest.mark.parametrize(
    ("role", "name"),
    [(Role.WORKER, "find_recovery_set"), (Role.CONSOLE, "spend_step"), (Role.METRICS, "record_letters"), (Role.AUDITOR, "enforce_batch")],
)
async def test_planning_asks_for_rights(url: str, role: Role, name: str) -> None:
    async with acting_as(url, role) as db:
        prepared = await db.prepare(statement(name))
        await db.execute(f"PREPARE asked AS {statement(name)}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(f"EXPLAIN EXECUTE asked({', '.join('NULL' for _ in prepared.get_parameters())})")
