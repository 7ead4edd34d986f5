"""Fill the reference main app with organizations and realistic people, fast, and say what must become of them.

50,000 people take a few seconds, a million about a minute: everything goes in by COPY. The same seed gives the same people. What a
run must do to each organization is counted here, from the demo's own table of shapes, so that a check against it is independent.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from random import Random
from typing import Any

import asyncpg

from workers.demo.accounts import TRAITS, Account, Letter, Session, Shape
from workers.demo.crowd import Crowd
from workers.demo.oddities import oddities

CHUNK = 20_000
"""Accounts that are in memory at a time."""

SHARE_VERIFIED = 0.95

TABLES = {
    "users": ("user_id", "email", "email_verified_at", "display_name", "locale", "time_zone", "password_hash", "deactivated_at"),
    "memberships": ("organization_id", "user_id", "kind", "joined_at"),
    "identities": ("provider", "subject", "user_id"),
    "second_factors": ("user_id", "started_at", "confirmed_at"),
    "sessions": (
        *("user_id", "organization_id", "started_with", "started_at"),
        *("expires_at", "ended_at", "restricted_to_enrolment"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationSpec:
    """What one organization is to be like. Its admin, who complies, is one of `members`.

    `shared` members are taken over from the first organization, each with a session more that is good for this one only.
    """

    name: str = "Kestrel Logistics"
    domain: str = "kestrel.example"
    members: int = 2000
    sessions_each: int = 2
    share_unprotected: float = 0.6
    shared: int = 0
    with_oddities: bool = True
    locale: str | None = "en-US"
    time_zone: str | None = "America/Chicago"
    support_url: str | None = "https://help.kestrel.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """An organization that exists now, and what its first run must come to.

    `by_kind` counts members per (verdict, kind). `letters` counts members per outcome, on a day on which nothing breaks. `sessions_ended`
    supposes that no other organization's run came first; `sessions_kept` are those that are listed and must be live afterwards.
    """

    organization_id: Any
    admin_id: Any
    name: str
    members: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[tuple[str, str]] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    sessions_ended: int = 0
    sessions_kept: int = 0


async def seed(connection: asyncpg.Connection, *organizations: OrganizationSpec, seed: int = 1) -> list[Seeded]:
    """Create the organizations with their people, in one transaction, and return them in the order asked for.

    Works for every type of id, in a database that may hold others already. Statistics and visibility map are up to date afterwards,
    unless this is called within a transaction.
    """
    random = Random(seed)  # noqa: S311 - the same people each time, not a secret
    ids = await _Ids.of(connection, random)
    async with connection.transaction():
        await _trust_our_own_references(connection)
        seeded = await _Seeding(connection, random, ids).run(organizations or (OrganizationSpec(),))
        await ids.advance_sequences(connection)
        await connection.execute("SET LOCAL session_replication_role = DEFAULT")
    if not connection.is_in_transaction():
        await connection.execute("VACUUM (ANALYZE) app.users, app.memberships, app.identities, app.second_factors, app.sessions")
    return seeded


async def _trust_our_own_references(connection: asyncpg.Connection) -> None:
    """Skip the checks of foreign keys where we may: they take half of the time, and the rows refer to each other by construction."""
    await connection.execute(
        "SELECT set_config('session_replication_role', 'replica', true) FROM pg_roles WHERE rolname = current_user AND rolsuper"
    )


@dataclass(frozen=True, slots=True)
class _Ids:
    users: Iterator[Any]
    organizations: Iterator[Any]

    @classmethod
    async def of(cls, connection: asyncpg.Connection, random: Random) -> "_Ids":
        return cls(
            await _new_ids(connection, random, "users", "user_id", "usr"),
            await _new_ids(connection, random, "organizations", "organization_id", "org"),
        )

    async def advance_sequences(self, connection: asyncpg.Connection) -> None:
        """Let the app's own inserts go on behind the ids that were given here."""
        for table, column in (("users", "user_id"), ("organizations", "organization_id")):
            if await connection.fetchval(f"SELECT pg_get_serial_sequence('app.{table}', '{column}')"):
                await connection.execute(
                    f"SELECT setval(pg_get_serial_sequence('app.{table}', '{column}'), max({column})) FROM app.{table}"
                )


async def _new_ids(connection: asyncpg.Connection, random: Random, table: str, column: str, prefix: str) -> Iterator[Any]:
    id_type = await connection.fetchval(
        "SELECT data_type FROM information_schema.columns WHERE table_schema = 'app' AND table_name = $1 AND column_name = $2",
        table,
        column,
    )
    match id_type:
        case "uuid":
            return (uuid.UUID(int=random.getrandbits(128), version=4) for _ in count())
        case "text":
            return (f"{prefix}_{random.getrandbits(80):020x}" for _ in count())
        case _:
            highest = await connection.fetchval(f"SELECT coalesce(max({column}), 0) FROM app.{table}")
            return count(highest + 1)


class _Seeding:
    """Rows on their way into the five tables, and the counts that they must lead to."""

    def __init__(self, connection: asyncpg.Connection, random: Random, ids: _Ids) -> None:
        self._connection = connection
        self._random = random
        self._ids = ids
        self._now = datetime.now(UTC)
        self._invented = 0
        self._first: list[tuple[Any, Account]] = []
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}

    async def run(self, specs: Sequence[OrganizationSpec]) -> list[Seeded]:
        remembered = max(spec.shared for spec in specs)
        seeded: list[Seeded] = []
        for spec in specs:
            seeded.append(await self._organization(spec, remember=0 if seeded else remembered))
        return seeded

    async def _organization(self, spec: OrganizationSpec, *, remember: int) -> Seeded:
        organization_id, admin_id = next(self._ids.organizations), next(self._ids.users)
        await self._connection.execute(
            "INSERT INTO app.organizations (organization_id, name, locale, time_zone, support_url) VALUES ($1, $2, $3, $4, $5)",
            *(organization_id, spec.name, spec.locale, spec.time_zone, spec.support_url),
        )
        tally = _Tally()
        self._add(organization_id, admin_id, _admin(spec), tally)
        for user_id, account in self._first[: spec.shared]:
            self._share(organization_id, user_id, account, tally)
        for account in self._newcomers(spec):
            user_id = next(self._ids.users)
            if len(self._first) < remember:
                self._first.append((user_id, account))
            self._add(organization_id, user_id, account, tally)
            if len(self._rows["users"]) >= CHUNK:
                await self._flush()
        await self._flush()
        return tally.seeded(organization_id, admin_id, spec.name)

    def _newcomers(self, spec: OrganizationSpec) -> Iterator[Account]:
        wanted = spec.members - 1 - min(spec.shared, len(self._first))
        odd = list(islice(oddities(spec.domain), wanted)) if spec.with_oddities else []
        crowd = Crowd(
            size=wanted - len(odd),
            domain=spec.domain,
            share_unprotected=spec.share_unprotected,
            sessions_each=spec.sessions_each,
            first=self._invented + 1,
        )
        self._invented += crowd.size
        yield from crowd.invent(self._random)
        yield from odd

    def _add(self, organization_id: Any, user_id: Any, account: Account, tally: "_Tally") -> None:
        traits, then = account.traits, self._some_time_ago(6 * 365)
        self._rows["users"].append(
            (
                *(
                    user_id,
                    account.email,
                    then if self._random.random() < SHARE_VERIFIED else None,
                    account.name,
                    account.locale,
                    account.time_zone,
                ),
                *("$argon2id$v=19$m=19456,t=2,p=1$demo" if traits.password else None, None if traits.active else self._now),
            )
        )
        if traits.sso:
            self._rows["identities"].append(("https://login.example.com", str(user_id), user_id))
        if traits.factor:
            self._rows["second_factors"].append((user_id, then, then if traits.factor == "confirmed" else None))
        self._join(organization_id, user_id, account, then)
        for session in account.sessions:
            self._sign_in(organization_id if session.bound else None, user_id, session)
        tally.count(account, account.sessions)

    def _share(self, organization_id: Any, user_id: Any, account: Account, tally: "_Tally") -> None:
        here = Session(started_with="sso" if account.shape is Shape.SSO else "password", bound=True)
        self._join(organization_id, user_id, account, self._now)
        self._sign_in(organization_id, user_id, here)
        tally.count(account, (*(session for session in account.sessions if not session.bound), here))

    def _join(self, organization_id: Any, user_id: Any, account: Account, when: datetime) -> None:
        self._rows["memberships"].append((organization_id, user_id, account.kind, when))

    def _sign_in(self, organization_id: Any, user_id: Any, session: Session) -> None:
        started = self._some_time_ago(25)
        ended = started + (self._now - started) / 2 if session.over else None
        self._rows["sessions"].append(
            (user_id, organization_id, session.started_with, started, self._now + timedelta(days=30), ended, session.restricted)
        )

    def _some_time_ago(self, days: int) -> datetime:
        return self._now - timedelta(seconds=self._random.random() * days * 86_400)

    async def _flush(self) -> None:
        for table, columns in TABLES.items():
            rows, self._rows[table] = self._rows[table], []
            await self._connection.copy_records_to_table(table, schema_name="app", columns=columns, records=rows)


def _admin(spec: OrganizationSpec) -> Account:
    return Account(
        shape=Shape.PROTECTED,
        name="Mara Lindqvist",
        email=f"mara.lindqvist@{spec.domain}",
        letter=Letter.ACCEPTED,
        locale=spec.locale,
        time_zone=spec.time_zone,
        sessions=TRAITS[Shape.PROTECTED].sessions[:1],
    )


class _Tally:
    """Counts what the requirement must come to, member by member."""

    def __init__(self) -> None:
        self._by_kind: Counter[tuple[str, str]] = Counter()
        self._letters: Counter[str] = Counter()
        self._ended = 0
        self._listed = 0

    def count(self, account: Account, sessions: Sequence[Session]) -> None:
        verdict = account.traits.verdict
        self._by_kind[verdict, account.kind] += 1
        self._letters[account.letter] += 1
        self._listed += sum(session.is_listed for session in sessions)
        if verdict == "unprotected":
            self._ended += sum(session.must_end for session in sessions)

    def seeded(self, organization_id: Any, admin_id: Any, name: str) -> Seeded:
        verdicts: Counter[str] = Counter()
        for (verdict, _), members in self._by_kind.items():
            verdicts[verdict] += members
        return Seeded(
            organization_id=organization_id,
            admin_id=admin_id,
            name=name,
            members=verdicts.total(),
            verdicts=verdicts,
            by_kind=self._by_kind,
            letters=self._letters,
            sessions_ended=self._ended,
            sessions_kept=self._listed - self._ended,
        )
