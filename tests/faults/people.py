"""People and admins of the main app, who go on with their day whatever breaks.

Everything they do is decided by the seed; what of it is possible when its turn comes depends on what happened before.
"""

import asyncio
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import redis

from tests.checker import verdict_of
from tests.faults import messages
from tests.faults.ground import Ground, ring
from workers.demo.people import Seeded

ACTS: dict[str, str] = {
    "enrols": "SELECT app.confirm_second_factor($2)",
    "begins to enrol": "SELECT app.start_second_factor($2)",
    "gives the factor up": "SELECT app.remove_second_factor($2)",
    "signs in": "SELECT app.sign_in($2, 'password')",
    "signs in by SSO": "SELECT app.sign_in($2, 'sso')",
    "moves to SSO": "SELECT app.move_to_sso($2)",
    "leaves": "SELECT app.leave_organization($1, $2)",
    "changes address": "UPDATE app.users SET email = 'new' || $1::bigint || '.' || user_id || '@moved.example' WHERE user_id = $2",
    "is deactivated": "UPDATE app.users SET deactivated_at = now() WHERE user_id = $2 AND $1::bigint > 0",
    "is back": "UPDATE app.users SET deactivated_at = NULL WHERE user_id = $2 AND $1::bigint > 0",
    "becomes a contractor": "UPDATE app.memberships SET kind = 'contractor' WHERE organization_id = $1 AND user_id = $2",
}
"""What somebody ($2) of an organization ($1) does."""


class People:
    """Members, by a few at a time. Admins are left alone: they flip the switch."""

    def __init__(self, ground: Ground, random: Random) -> None:
        self._ground = ground
        self._random = random
        self._admins = [organization.admin_id for organization in ground.organizations]

    async def live(self, seconds: float, *, every: float) -> None:
        """Go on for so long."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await self.act()
            await self.ask_the_gate()
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * every)

    async def act(self) -> None:
        """Have a few people do something, between two pictures of everybody."""
        ground = self._ground
        organization = self._random.choice(ground.organizations)
        names = [self._random.choice(list(ACTS)) for _ in range(4)]
        places = [self._random.random() for _ in names]
        joins = self._random.random() < 0.3
        async with ground.lock:
            await ground.look()
            for name, place in zip(names, places, strict=True):
                user = await self._somebody(organization, place)
                if user is not None:
                    statement = ACTS[name] if "$1" in ACTS[name] else f"{ACTS[name]} WHERE $1::bigint > 0"
                    await ground.change(statement, organization.organization_id, user)
            if joins:
                await self._somebody_joins(organization, places[0])
            await ground.look()

    async def _somebody(self, organization: Seeded, place: float) -> Any:
        return await self._ground.value(
            "SELECT user_id FROM app.memberships WHERE organization_id = $1 AND user_id <> ALL ($2) AND user_id >= $3"
            " ORDER BY user_id LIMIT 1",
            *(organization.organization_id, self._admins),
            int(place * await self._ground.value("SELECT max(user_id) FROM app.users")),
        )

    async def _somebody_joins(self, organization: Seeded, place: float) -> None:
        """Have somebody of the large organization, or somebody new, become a member of this one too."""
        ground = self._ground
        user = await self._somebody(ground.organizations[0], place)
        if user is None or place < 0.5:
            user = await ground.value(
                "INSERT INTO app.users (email, display_name, password_hash)"
                " VALUES ('new' || (random() * 1e12)::bigint || '@joined.example', 'New', 'x') RETURNING user_id"
            )
        await ground.change("SELECT app.join_organization($1, $2)", organization.organization_id, user)

    async def ask_the_gate(self) -> None:
        """Compare the gate's answer with the design's table, over the facts of the same snapshot (I3)."""
        rows = await self._ground.rows(
            "SELECT m.*, p.exempt_kinds, portcullis.gate(m.user_id, m.organization_id, 'password') AS answer FROM directory.member m"
            " JOIN portcullis.policy p ON p.organization_id = m.organization_id AND p.required ORDER BY random() LIMIT 40"
        )
        for row in rows:
            verdict = verdict_of(row, row["exempt_kinds"])
            wanted = "second_factor_setup" if verdict in {"unprotected", "sso"} else "none"
            if row["answer"] != wanted:
                self._ground.findings.append(f"I3: member {row['user_id']} ({verdict}) was served {row['answer']!r} by the gate")


class Admins:
    """Whoever flips switches: in SQL, at two keyboards at once, and by message."""

    def __init__(self, ground: Ground, random: Random) -> None:
        self._ground = ground
        self._random = random
        self.requests: list[UUID] = []

    async def live(self, seconds: float, *, every: float) -> None:
        """Go on for so long. The large organization is switched on first, and now and then on, off, on."""
        ground = self._ground
        end = asyncio.get_running_loop().time() + seconds
        await self.require(ground.organizations[0])
        while asyncio.get_running_loop().time() < end:
            organization = self._random.choice(ground.organizations[1:] * 3 + ground.organizations[:1])
            act = self._random.choice([self.require, self.require, self.lift, self.cancel, self.dither, self.quarrel, self.write])
            await act(organization)
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * every)

    async def require(self, organization: Seeded) -> None:
        """Switch on."""
        exempt = self._random.choice([[], [], ["service"], ["contractor"]])
        await self._flip(
            "SELECT portcullis.require_second_factor($1, $2, 'audit', $3)", organization.organization_id, organization.admin_id, exempt
        )

    async def lift(self, organization: Seeded) -> None:
        """Switch off."""
        await self._flip("SELECT portcullis.lift_second_factor($1, $2, 'over')", organization.organization_id, organization.admin_id)

    async def cancel(self, organization: Seeded) -> None:
        """Cancel the live run, if there is one."""
        await self._flip(
            "SELECT portcullis.cancel_run(run_id, 'wrong day') FROM portcullis.run WHERE organization_id = $1 AND state = 'running'",
            organization.organization_id,
        )

    async def dither(self, organization: Seeded) -> None:
        """On, off, on within a second."""
        for act in (self.require, self.lift, self.require):
            await act(organization)

    async def quarrel(self, organization: Seeded) -> None:
        """Several keyboards at once."""
        await asyncio.gather(*(act(organization) for act in (self.require, self.lift, self.require, self.lift, self.cancel)))

    async def write(self, organization: Seeded) -> None:
        """Ask by message, which arrives three times; and repeat an older one."""
        ground = self._ground
        request = UUID(int=self._random.getrandbits(128), version=4)
        old = self._random.choice([*self.requests, request])
        self.requests.append(request)
        admin, number = organization.admin_id, organization.organization_id
        sealed = messages.a_request(ring(), organization=number, admin=admin, request=request)
        again = messages.a_request(ring(), organization=number, admin=admin, request=old)
        try:
            with ground.redis() as client:
                client.rpush("portcullis:enforce", sealed, again, sealed, sealed)
        except redis.RedisError:
            ground.say("a request found Redis away")

    async def _flip(self, statement: str, *arguments: Any) -> None:
        try:
            await self._ground.change(statement, *arguments)
        except asyncpg.PostgresError as refused:
            if not (refused.sqlstate or "").startswith("PC"):
                raise
        await self._ground.note_stops()
