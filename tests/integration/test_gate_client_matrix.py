"""The Python client's two questions: every way in, every state of a member, every policy with its options, from one table."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from jobs import client
from jobs.client import Requirement
from tests.builders import Organization, a_member, an_organization

WAYS_IN = ("password", "remember_me", "sso", "token", "oauth_refresh", "invitation", "recovery", None)

TABLE = """
                       password remember_me sso token oauth_refresh invitation recovery unknown
    unprotected        x        x           -   x     x             x          x        x
    started            x        x           -   x     x             x          x        x
    mixed              x        x           -   x     x             x          x        x
    neither            x        x           -   x     x             x          x        x
    protected          -        -           -   -     -             -          -        -
    sso only           x        x           -   -     -             x          x        -
    exempt             -        -           -   -     -             -          -        -
    inactive           -        -           -   -     -             -          -        -
    stranger           -        -           -   -     -             -          -        -
"""
"""What the gate asks of whom while the requirement applies: x is the set-up."""

MEMBERS: dict[str, dict[str, Any]] = {
    "unprotected": {},
    "started": {"factor": "started"},
    "mixed": {"sso": True},
    "neither": {"password": False},
    "protected": {"factor": True, "sso": True},
    "sso only": {"password": False, "sso": True},
    "exempt": {"kind": "service"},
    "inactive": {"active": False},
}

POLICIES = {
    "none": False,
    "at once": True,
    "from a date that lies ahead": False,
    "from a date that has passed": True,
    "brought forward": True,
    "with a grace for others": True,
    "cancelled run": True,
    "lifted": False,
}
"""Policies, and whether the table applies under them; else nobody is asked for anything."""


def table() -> dict[str, tuple[Requirement, ...]]:
    rows = {}
    for line in TABLE.strip("\n").splitlines()[1:]:
        *name, answers = line[:23].strip(), line[23:].split()
        rows[name[0]] = tuple(Requirement.SECOND_FACTOR_SETUP if answer == "x" else Requirement.NONE for answer in answers)
    return rows


async def set_policy(db: asyncpg.Connection, organization: Organization, policy: str) -> None:
    how: dict[str, Any] = {"requested_by": organization.admin.id, "reason": "audit"}
    now = await db.fetchval("SELECT now()")
    dates = {"from a date that lies ahead": 5, "from a date that has passed": -5, "brought forward": 5}
    if policy == "none":
        return
    run = await client.require_second_factor(
        db,
        organization.id,
        **how,
        exempt_kinds=["service"],
        effective_at=now + timedelta(days=dates[policy]) if policy in dates else None,
        grace=timedelta(days=5) if policy == "with a grace for others" else None,
    )
    if policy == "brought forward":
        await client.change_second_factor(db, organization.id, **how, effective_at=now)
    elif policy == "cancelled run":
        await client.cancel_run(db, run, reason="wrong day")
    elif policy == "lifted":
        await client.lift_second_factor(db, organization.id, **how)


async def ask(db: asyncpg.Connection, user_id: Any, organization_id: Any, started_with: str | None) -> set[Requirement]:
    answers = {await client.gate(db, user_id, where, started_with=started_with) for where in (organization_id, None)}
    async with db.transaction():
        answers.add(await client.sign_in_requirement(db, user_id, started_with=started_with))
    return answers


@pytest.mark.parametrize("policy", POLICIES)
async def test_the_answer_is_the_tables(db: asyncpg.Connection, policy: str) -> None:
    organization = await an_organization(db)
    people = {name: (await a_member(db, organization.id, **facts)).id for name, facts in MEMBERS.items()} | {"stranger": 999_999}
    await set_policy(db, organization, policy)
    expected = table()
    assert set(expected) == set(people)
    for name, answers in expected.items():
        for started_with, answer in zip(WAYS_IN, answers, strict=True):
            wanted = answer if POLICIES[policy] else Requirement.NONE
            assert await ask(db, people[name], organization.id, started_with) == {wanted}, (name, started_with)
