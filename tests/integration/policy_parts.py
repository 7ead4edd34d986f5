"""An organization under a requirement with options, somebody to work for it, and a clock that can be turned on."""

import email
import email.policy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from jobs import client
from jobs.claiming import Work, run_claimed
from jobs.client import Requirement
from jobs.resources import Resources
from jobs.stages.enforce import enforce
from jobs.stages.finish import close_run
from jobs.stages.plan import plan
from jobs.stages.remind import write_letters
from jobs.store.batches import Stage
from tests.builders import Member, Organization, a_member
from tests.relay import Relay

STAGES: dict[Stage, Work] = {Stage.PLAN: plan, Stage.ENFORCE: enforce, Stage.SETTLE: close_run, Stage.FINISH: close_run}

WEEK, DAY, HOUR = timedelta(days=7), timedelta(days=1), timedelta(hours=1)

FACTOR = "SELECT app.confirm_second_factor($1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An organization, somebody to work for it, and a clock that can be turned on."""

    db: asyncpg.Connection
    resources: Resources
    relay: Relay
    organization: Organization

    async def require(self, **options: Any) -> int:
        return await client.require_second_factor(
            self.db, self.organization.id, requested_by=self.organization.admin.id, reason="audit", **options
        )

    async def change(self, **options: Any) -> int:
        return await client.change_second_factor(
            self.db, self.organization.id, requested_by=self.organization.admin.id, reason="audit", **options
        )

    async def in_time(self, ahead: timedelta) -> datetime:
        return await self.db.fetchval("SELECT now()") + ahead  # type: ignore[no-any-return]  # asyncpg has no types

    async def turn_clock(self, by: timedelta) -> None:
        """Let time pass: everything that lies ahead comes nearer, and what has happened goes farther away."""
        await self.db.execute(
            "UPDATE portcullis.policy SET effective_at = effective_at - $1::interval, changed_at = changed_at - $1::interval", by
        )
        await self.db.execute("UPDATE portcullis.run SET effective_at = effective_at - $1::interval", by)
        await self.db.execute("UPDATE portcullis.batch SET next_at = next_at - $1::interval", by)
        await self.db.execute("UPDATE portcullis.joiner SET joined_at = joined_at - $1::interval, ends_at = ends_at - $1::interval", by)

    async def work(self) -> None:
        """Do whatever is due, until nothing is."""
        due = (
            "SELECT b.run_id, b.batch_id, b.token, b.stage FROM portcullis.batch b JOIN portcullis.run r USING (run_id)"
            " JOIN portcullis.policy p USING (organization_id)"
            " WHERE b.state = 'open' AND b.next_at <= now() AND portcullis.is_wanted(b.stage, r.state, r.epoch, p.required, p.epoch)"
            " AND (b.stage <> 'finish' OR NOT EXISTS (SELECT FROM portcullis.batch o WHERE o.run_id = b.run_id AND o.state = 'open'"
            " AND o.stage IN ('plan', 'enforce', 'notice'))) ORDER BY b.urgency, b.batch_id LIMIT 1"
        )
        while row := await self.db.fetchrow(due):
            stage = Stage(row["stage"])
            batch = {"run_id": row["run_id"], "batch_id": row["batch_id"], "token": row["token"]}
            await run_claimed(self.resources, STAGES.get(stage, write_letters), stages=(stage,), **batch)

    async def gate(self, member: Member, started_with: str = "password") -> Requirement:
        """What the gate answers; the three questions agree where there is one organization."""
        answers = {
            await client.gate(self.db, member.id, self.organization.id, started_with=started_with),
            await client.gate(self.db, member.id, None, started_with=started_with),
        }
        async with self.db.transaction():
            answers.add(await client.sign_in_requirement(self.db, member.id, started_with=started_with))
        [answer] = answers
        return answer

    async def join(self, *, tells: bool = True, **facts: Any) -> Member:
        """Somebody joins; the app tells Portcullis unless it forgets to."""
        member = await a_member(self.db, self.organization.id, **facts)
        if tells:
            await client.member_joined(self.db, self.organization.id, member.id)
        return member

    async def live(self, member: Member) -> int:
        return int(await self.db.fetchval("SELECT count(*) FROM directory.session WHERE user_id = $1", member.id))

    async def ledger(self, slot: str) -> dict[Any, tuple[str, str | None]]:
        rows = await self.db.fetch("SELECT member_id, state, reason FROM portcullis.delivery WHERE slot = $1", slot)
        return {row["member_id"]: (row["state"], row["reason"]) for row in rows}

    def mail(self) -> list[tuple[str, str]]:
        """Recipient and subject of every letter that arrived, in order."""
        read = [email.message_from_bytes(content, policy=email.policy.default) for content in self.relay.contents]
        return [(message["To"].addresses[0].addr_spec, message["Subject"].partition(": ")[2]) for message in read]


SET_UP, NONE = Requirement.SECOND_FACTOR_SETUP, Requirement.NONE
SOON = "set up two-factor authentication soon"
