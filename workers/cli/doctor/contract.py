"""The contract with the main app: each view and function by name, and whether what they say can be used."""

from collections import Counter
from collections.abc import Sequence

import asyncpg

from jobs.store import contract, diagnosis
from jobs.store.contract import Column
from jobs.store.database import WEATHER, Connection
from jobs.store.ids import IdTypes
from workers.cli.doctor.findings import Finding, fault, note, ok
from workers.cli.explaining import reason

SAMPLE = 10_000
NAMES = (*(f"directory.{view}" for view in contract.VIEWS), "directory.end_sessions")
EXAMPLE = "workers/demo/main_app.sql is an example to copy."


async def check(db: Connection) -> list[Finding]:
    """Look at what `directory` offers; if that is whole, at a sample of what it says."""
    columns, functions = await diagnosis.read_contract(db)
    types = await _types(db, columns)
    told = contract.find_faults(columns, functions, member=types.member, organization=types.organization)
    findings = [fault(line, f"Mend it in the main app. {EXAMPLE}") for line in told]
    findings += [ok(f"{name} is as it must be") for name in NAMES if not any(name in line for line in told)]
    if told:
        return findings
    return [*findings, ok(f"ids of members are {types.member}, of organizations {types.organization}"), *await _sample(db)]


async def _types(db: Connection, columns: list[Column]) -> IdTypes:
    try:
        return await IdTypes.read(db)
    except LookupError:
        # Not installed yet: take the main app's word, so that what else is wrong is named now.
        found = {column.name: column.type for column in columns if column.view == "member"}
        return IdTypes(member=found.get("user_id", "bigint"), organization=found.get("organization_id", "bigint"))


async def _sample(db: Connection) -> list[Finding]:
    try:
        sample = await diagnosis.sample_members(db, limit=SAMPLE)
        if sample is None:
            return [note("directory.member has nobody, so nothing more can be tried")]
        organization, members = sample
        await diagnosis.end_no_session(db, organization)
    except WEATHER as error:
        return [fault(f"the views did not answer: {reason(error)}", "If they are slow, see the plans below; otherwise try again.")]
    except asyncpg.PostgresError as error:
        return [fault(f"what the main app offers can't be used: {reason(error)}", f"Mend the view or function that says so. {EXAMPLE}")]
    return [_repeated(organization, members)]


def _repeated(organization: object, members: Sequence[object]) -> Finding:
    repeated = [(member, count) for member, count in Counter(members).most_common(3) if count > 1]
    if not repeated:
        return ok(f"nobody is repeated among {len(members):,} members of organization {organization}")
    named = ", ".join(f"user {member} {count} times" for member, count in repeated)
    to_do = "Give one row per membership: look facts up by a subquery with LIMIT 1 instead of a join that multiplies rows."
    return fault(f"directory.member repeats members of organization {organization}: {named}", to_do)
