"""The letters about a second factor, through a real SMTP conversation: what they say, once, whatever breaks."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import asyncpg
import pytest

from jobs.resources import Mail, Resources
from jobs.second_factor import Origin, confirm, posting, recover, remove, reset, verify
from jobs.second_factor.posting import post, post_for_ever
from jobs.store import steering
from jobs.store.database import Pool, open_pool
from jobs.store.steering import Order, PauseScope
from tests.builders import Organization, a_member, an_organization
from tests.integration.second_factor_parts import COUNTED_BY_PORTCULLIS, KEYS, NOW, Phone, begun, enrolled, no_sessions, shown
from tests.mailer_parts import until
from tests.pipeline.world import a_mailroom
from tests.relay import Act, Relay, Rule, Stage

WHERE = Origin(address="203.0.113.7", device="Firefox on Linux")

NOT_REFUSED = False


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_url, size=4)
    await pool.execute(COUNTED_BY_PORTCULLIS)
    yield pool
    await pool.close()


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    async with Relay() as relay:
        yield relay


@pytest.fixture
async def mail(pool: Pool, redis_url: str, relay: Relay) -> AsyncIterator[Mail]:
    async with a_mailroom(pool, redis_url, relay) as mail:
        yield mail


@pytest.fixture
async def organization(db: asyncpg.Connection, pool: Pool) -> Organization:
    return await an_organization(db)


@pytest.fixture
async def phone(db: asyncpg.Connection, organization: Organization, pool: Pool, mail: Mail) -> Phone:
    """Somebody who set up a factor, and has heard of it."""
    phone = await enrolled(db, (await a_member(db, organization.id)).id)
    assert await post(pool, mail) == 1
    return phone


def read(relay: Relay) -> list[EmailMessage]:
    return [email.message_from_bytes(content, policy=email.policy.default) for content in relay.contents]


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


async def states(db: asyncpg.Connection | Pool) -> list[tuple[str, str | None]]:
    rows = await db.fetch("SELECT state, reason FROM portcullis.factor_letter ORDER BY letter_id")
    return [(row["state"], row["reason"]) for row in rows]


async def test_each_thing_that_happens_is_one_letter_that_says_what_and_from_where(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, organization: Organization
) -> None:
    user = (await a_member(db, organization.id, name="Ada Lovelace", locale="en-GB", time_zone="Europe/London")).id
    phone = await begun(db, user)
    how: dict[str, Any] = {"end_other_sessions": no_sessions, "origin": WHERE, "at": NOW}
    bound = await confirm(db, KEYS, shown(user), phone.code(), **how)
    assert not isinstance(bound, Exception)
    await recover(db, KEYS, shown(user), bound.recovery.codes[0], **how)  # type: ignore[union-attr]  # it is confirmed
    later = NOW + timedelta(minutes=1)
    await remove(db, KEYS, shown(user), code=phone.code(later), **{**how, "at": later})
    await enrolled(db, user, at=later)
    await reset(db, user, organization_id=organization.id, done_by=organization.admin.id, reason="Lost it", at=later)
    assert await post(pool, mail) == 5
    assert await post(pool, mail) == 0
    subjects = [message["Subject"] for message in read(relay)]
    assert sorted(subjects) == [
        "Kestrel Logistics: a recovery code was used",
        "Kestrel Logistics: two-factor authentication is set up",
        "Kestrel Logistics: two-factor authentication is set up",
        "Kestrel Logistics: two-factor authentication removed",
        "Kestrel Logistics: two-factor authentication was reset",
    ]
    texts = {message["Subject"].partition(": ")[2]: text_of(message) for message in read(relay)}
    for subject in ("a recovery code was used", "two-factor authentication removed"):
        assert "Firefox on Linux, 203.0.113.7" in texts[subject]
        assert "This was not me" in texts[subject]
    assert "9 recovery codes are left." in texts["a recovery code was used"]
    assert "Mara Lindqvist (administrator)" in texts["two-factor authentication was reset"]
    assert await states(db) == [("accepted", None)] * 5
    secrets = [phone.secret, *bound.recovery.codes]  # type: ignore[union-attr]  # it is confirmed
    assert not [secret for secret in secrets if secret.encode() in b"".join(relay.contents)]


async def test_a_letter_is_written_in_the_members_language_and_for_the_organization_whose_admin_did_it(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, organization: Organization
) -> None:
    second = await an_organization(db, name="Zweite GmbH")
    user = (await a_member(db, organization.id, locale="de-AT")).id
    await db.execute("SELECT app.join_organization($1, $2)", second.id, user)
    await enrolled(db, user)
    await reset(db, user, organization_id=second.id, done_by=second.admin.id, reason="Lost it", at=NOW)
    await post(pool, mail)
    assert sorted(message["Subject"] for message in read(relay)) == [
        "Kestrel Logistics: Zwei-Faktor-Authentifizierung eingerichtet",
        "Zweite GmbH: Zweiter Faktor zurückgesetzt",
    ]
    assert {message["Content-Language"] for message in read(relay)} == {"de"}


async def test_a_factor_that_was_blocked_is_told_as_such(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, phone: Phone
) -> None:
    await db.execute("UPDATE portcullis.holder SET failures = 99")
    await verify(db, KEYS, shown(phone.user_id), phone.wrong(), at=NOW)
    await db.execute("UPDATE portcullis.holder SET failures = 100, locked_until = NULL")
    await verify(db, KEYS, shown(phone.user_id), phone.wrong(), at=NOW)
    await post(pool, mail)
    [_, blocked] = read(relay)
    assert blocked["Subject"] == "Kestrel Logistics: authenticator app blocked"
    assert "nobody gets in with the password alone" in text_of(blocked)


async def test_a_retry_is_the_same_bytes(db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, phone: Phone) -> None:
    relay.rules = [Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, times=1)]
    await recover(db, KEYS, shown(phone.user_id), phone.recovery_codes[0], end_other_sessions=no_sessions, at=NOW)
    await post(pool, mail)
    assert await states(db) == [
        ("accepted", None),
        ("owed", await db.fetchval("SELECT reason FROM portcullis.factor_letter WHERE doubts = 1")),
    ]
    await db.execute("UPDATE app.users SET email = 'elsewhere@kestrel.example', display_name = 'Somebody Else'")
    await db.execute("UPDATE portcullis.factor_letter SET next_at = now()")
    await post(pool, mail)
    assert len(relay.contents) == 3
    assert relay.contents[1] == relay.contents[2]
    assert await states(db) == [("accepted", None), ("accepted", None)]


async def test_what_a_killed_mailer_left_is_sent_when_its_lease_is_over(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, phone: Phone
) -> None:
    await recover(db, KEYS, shown(phone.user_id), phone.recovery_codes[0], end_other_sessions=no_sessions, at=NOW)
    await db.fetch(posting.CLAIM, 20, timedelta(minutes=11))
    assert await post(pool, mail) == 0
    await db.execute("UPDATE portcullis.factor_letter SET leased_until = now() - interval '1 second' WHERE state = 'sending'")
    assert await post(pool, mail) == 1
    assert len(relay.contents) == 2


async def test_an_outcome_of_a_stale_claim_writes_nothing(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, phone: Phone
) -> None:
    await recover(db, KEYS, shown(phone.user_id), phone.recovery_codes[0], end_other_sessions=no_sessions, at=NOW)
    [stale] = await db.fetch(posting.CLAIM, 20, timedelta(0))
    await asyncio.sleep(0.01)
    [fresh] = await db.fetch(posting.CLAIM, 20, timedelta(minutes=1))
    assert fresh["token"] == stale["token"] + 1
    assert await db.fetchval(posting.RECORD, stale["letter_id"], stale["token"], "accepted", None, None, 0.0, 0, 0, NOT_REFUSED) is None
    assert (
        await db.fetchval(posting.RECORD, fresh["letter_id"], fresh["token"], "accepted", None, None, 0.0, 0, 0, NOT_REFUSED) == "accepted"
    )


async def test_two_mailers_at_once_send_each_letter_once(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, organization: Organization
) -> None:
    for _ in range(15):
        await enrolled(db, (await a_member(db, organization.id, sessions=())).id)
    taken = await asyncio.gather(*(post(pool, mail, limit=4) for _ in range(6)))
    assert sum(taken) == 15
    assert set(relay.recipients().values()) == {1}
    assert len(relay.contents) == 15


REFUSALS = {
    "refused": Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user"),
    "later": Rule(stage=Stage.RCPT, reply="450 4.2.1 later"),
    "not like this": Rule(stage=Stage.DOT, reply="554 5.7.1 not like this"),
    "gone": Rule(stage=Stage.MAIL, act=Act.DROP),
}


@pytest.mark.parametrize("how", REFUSALS)
async def test_a_refusal_is_recorded_and_tried_again_where_that_helps(pool: Pool, mail: Mail, relay: Relay, phone: Phone, how: str) -> None:
    relay.rules = [REFUSALS[how]]
    async with pool.acquire() as db:
        await recover(db, KEYS, shown(phone.user_id), phone.recovery_codes[0], end_other_sessions=no_sessions, at=NOW)
    await post(pool, mail)
    assert [state for state, _ in await states(pool)] == ["accepted", "refused" if how == "refused" else "owed"]
    await pool.execute("UPDATE portcullis.factor_letter SET happened_at = now() - interval '3 days', next_at = now() WHERE state = 'owed'")
    await asyncio.sleep(0.15)  # the breaker's
    await post(pool, mail)
    assert [state for state, _ in await states(pool)] == ["accepted", "refused"], "what happened days ago is given up"


async def test_who_can_not_be_written_to_is_suppressed_with_the_reason(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, organization: Organization
) -> None:
    for address in (None, "no address at all", "evil@example.com\r\nBcc: other@example.com"):
        await enrolled(db, (await a_member(db, organization.id, email=address)).id)
    gone = (await a_member(db, organization.id)).id
    await enrolled(db, gone)
    await db.execute("SELECT app.leave_organization($1, $2)", organization.id, gone)
    await post(pool, mail)
    assert [reason for _, reason in await states(db)] == ["no_address", "malformed_address", "malformed_address", "left"]
    assert {state for state, _ in await states(db)} == {"suppressed"}
    assert relay.contents == []


async def test_a_mailer_process_sends_them_by_itself_and_stops_when_it_drains(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, organization: Organization
) -> None:
    resources = Resources(pool=pool, holder="test", mail=mail)
    posting_task = asyncio.create_task(post_for_ever(resources))
    await enrolled(db, (await a_member(db, organization.id)).id)
    await until(lambda: relay.contents)
    resources.draining.set()
    await asyncio.wait_for(posting_task, 5)
    assert await states(db) == [("accepted", None)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "FAULT_SECONDS", 0.05)
    monkeypatch.setattr(posting, "LOOK_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_a_fault_of_the_directory_stops_nothing_for_good(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, organization: Organization
) -> None:
    await enrolled(db, (await a_member(db, organization.id)).id)
    await db.execute("ALTER VIEW directory.organization RENAME TO mislaid")
    resources = Resources(pool=pool, holder="test", mail=mail)
    posting_task = asyncio.create_task(post_for_ever(resources))
    await asyncio.sleep(0.3)
    assert relay.contents == []
    await db.execute("ALTER VIEW directory.mislaid RENAME TO organization")
    await until(lambda: relay.contents)
    resources.draining.set()
    await asyncio.wait_for(posting_task, 5)


@pytest.mark.parametrize(("scope", "subject"), [(PauseScope.QUEUE, "notify"), (PauseScope.EVERYTHING, "")])
async def test_they_wait_while_letters_are_paused(
    db: asyncpg.Connection, pool: Pool, mail: Mail, relay: Relay, organization: Organization, *, scope: PauseScope, subject: str
) -> None:
    await enrolled(db, (await a_member(db, organization.id)).id)
    order = Order(actor="ines", via="cli", reason="wrong template")
    await steering.pause(pool, order, scope, subject)
    assert await post(pool, mail) == 0
    assert await states(db) == [("owed", None)]
    await steering.resume(pool, order, scope, subject)
    assert await post(pool, mail) == 1
    assert len(relay.contents) == 1
