"""What the switch would do, for whoever is about to flip it: Portcullis's counts, and the people behind each of them."""

from collections import defaultdict
from dataclasses import dataclass

import asyncpg

from jobs import client
from jobs.client import Verdict

SHOWN = 200
"""People named behind a count; the rest are counted."""

NAMES = """
    SELECT verdict, name, email
    FROM (
        SELECT judged.*, row_number() OVER (PARTITION BY verdict ORDER BY lower(name), email) AS place
        FROM (
            SELECT portcullis.verdict(m.is_active, m.has_password, m.has_sso, m.has_second_factor, m.kind, '{}') AS verdict,
                   coalesce(m.display_name, m.email, 'no name') AS name, m.email
            FROM directory.member m WHERE m.organization_id = $1
        ) judged
    ) placed
    WHERE place <= $2 ORDER BY place
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """Members whom the switch treats alike. `people` are at most `SHOWN` of them, as (name, address)."""

    verdict: Verdict
    members: int
    sessions: int
    people: tuple[tuple[str, str | None], ...]

    @property
    def more(self) -> int:
        """How many are not named."""
        return self.members - len(self.people)


async def impact(db: asyncpg.Connection, organization_id: int) -> dict[Verdict, Affected]:
    """Return who is affected, by verdict; every verdict is there, with nobody in it if need be. Changes nothing.

    Both questions look at the same moment, so that the names are those that were counted.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True):
        rows = await client.preview_second_factor(db, organization_id)
        named = await db.fetch(NAMES, organization_id, SHOWN)
    people: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for row in named:
        people[row["verdict"]].append((row["name"], row["email"]))
    return {
        verdict: Affected(
            verdict=verdict,
            members=sum(row.members for row in rows if row.verdict is verdict),
            sessions=sum(row.sessions for row in rows if row.verdict is verdict),
            people=tuple(people[verdict]),
        )
        for verdict in Verdict
    }
