"""Letters that come back: refused after all, their address suppressed, the sums still right; forged, early, repeated and stray reports."""

import asyncio
from typing import Any

import pytest

from jobs.bounces import Reader, Result, Taken, Uselessness
from jobs.bounces.origin import Origins
from jobs.domain.bounces import Meaning
from jobs.letters.message_ids import MessageIds
from jobs.letters.return_paths import ReturnPaths
from jobs.second_factor.posting import post
from jobs.store import audit, bounces, suppressions
from jobs.store.ids import IdTypes
from tests.bounce_parts import a_report
from tests.builders import Member, Organization, an_organization
from tests.integration.plans import used
from tests.pipeline.test_suppression import with_bounce_address
from tests.pipeline.world import KEY, World
from tests.relay import Act, Rule, Stage

PATHS = ReturnPaths.read("bounces@mail.example.com")
IDS = MessageIds(key=KEY, key_id="k1", domain="app.example.com")


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


class Keys:
    """The proofs of the world's one key, which is not out of a ring."""

    def hold(self, proof: str, *, number: int, slot: str, member_id: str) -> bool:
        return len(proof) >= 14 and IDS.reference(number, member_id, slot).decode().startswith(proof)


@pytest.fixture
async def reader(world: World) -> Reader:
    return await a_reader(world)


async def a_reader(world: World, paths: ReturnPaths | None = PATHS) -> Reader:
    types = await IdTypes.read(world.pool)
    reader = Reader.__new__(Reader)
    reader._db = world.pool
    reader._origins = Origins(world.pool, types, Keys(), paths)  # type: ignore[arg-type]
    return reader


def sender_of(run: int, member: Any, slot: str = "notice") -> str:
    sender = PATHS.sender(IDS.reference(run, str(member), slot), run, str(member), slot)
    assert sender is not None
    return sender


async def a_done_run(world: World, organization: Organization) -> int:
    with_bounce_address(world)
    run = await world.require(organization)
    await world.run_to_end(run)
    return run


async def test_a_letter_that_comes_back_is_refused_and_its_address_suppressed(
    world: World, organization: Organization, reader: Reader
) -> None:
    run = await a_done_run(world, organization)
    member = organization.members[1]
    before = await world.status(run)
    taken = await reader.take(a_report(came_to=sender_of(run, member.id)))
    expected = Taken(
        result=Result.BOUNCED,
        why=Meaning.ADDRESS_GONE,
        number=run,
        slot="notice",
        member=str(member.id),
        status="5.1.1",
        is_suppressed=True,
    )
    assert taken == expected
    letter = await world.letter(run, member)
    assert (letter["state"], letter["reason"]) == ("refused", "bounced: 5.1.1 550 5.1.1 user unknown")
    after = await world.status(run)
    assert after["state"] == "done"
    assert after["letters"] == before["letters"] | {"accepted": before["letters"]["accepted"] - 1, "refused": 1}
    [entry] = await world.db.fetch("SELECT facts::text AS facts FROM portcullis.audit_entry WHERE effect = 'bounced'")
    assert member.email
    assert member.email not in entry["facts"]
    assert await audit.compare(world.db, None) == []
    [listed] = await suppressions.list_suppressions(world.pool)
    assert (listed.address, listed.source, listed.run_id, listed.organization_id) == (member.email, "bounce", run, organization.id)


async def test_the_next_run_leaves_them_out_and_no_letter_that_it_is_over_goes_there(
    world: World, organization: Organization, reader: Reader
) -> None:
    run = await a_done_run(world, organization)
    member, other, _ = organization.members
    await reader.take(a_report(came_to=sender_of(run, member.id)))
    await world.lift(organization)
    await world.step_until(world.nothing_open)
    assert [world.kinds(one) for one in (member, other)] == [["signed_out"], ["signed_out", "lifted"]]
    again = await world.require(organization)
    await world.run_to_end(again)
    assert (await world.letter(again, member))["reason"] == "address_suppressed"


async def test_one_that_comes_back_before_the_run_is_done_stands_in_its_report(
    world: World, organization: Organization, reader: Reader
) -> None:
    with_bounce_address(world)
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.step("notify_batch")
    member = organization.members[0]
    assert (await reader.take(a_report(came_to=sender_of(run, member.id)))).result is Result.BOUNCED
    await world.run_to_end(run)
    totals = await world.db.fetchval("SELECT totals::text FROM portcullis.run WHERE run_id = $1", run)
    assert "bounced: 5.1.1" in totals
    report = world.contents(organization.admin)[-1].decode()
    assert "came back as undeliverable" in report.replace("=\r\n", "")


async def test_the_same_report_twice_changes_nothing_more_even_if_the_address_was_let_go(
    world: World, organization: Organization, reader: Reader
) -> None:
    run = await a_done_run(world, organization)
    report = a_report(came_to=sender_of(run, organization.members[0].id))
    at_once = await asyncio.gather(*[reader.take(report) for _ in range(4)])
    results = [taken.result for taken in at_once]
    assert results.count(Result.BOUNCED) == 1
    await world.db.execute("DELETE FROM portcullis.suppression")
    again = await reader.take(report)
    assert (again.result, again.why) == (Result.IGNORED, Uselessness.KNOWN)
    assert await suppressions.list_suppressions(world.pool) == []


@pytest.mark.parametrize(("action", "status"), [("delayed", "4.4.1"), ("relayed", "2.0.0"), ("delivered", "2.0.0")])
async def test_what_is_late_or_has_arrived_is_only_noted(
    world: World, organization: Organization, reader: Reader, action: str, status: str
) -> None:
    run = await a_done_run(world, organization)
    member = organization.members[0]
    taken = await reader.take(a_report(came_to=sender_of(run, member.id), action=action, status=status))
    assert (taken.result, taken.member) == (Result.NOTED, str(member.id))
    assert (await world.letter(run, member))["state"] == "accepted"


@pytest.mark.parametrize("status", ["5.2.2", "4.4.7", "5.7.1"])
async def test_a_letter_that_is_lost_for_another_reason_leaves_the_address_alone(
    world: World, organization: Organization, reader: Reader, status: str
) -> None:
    run = await a_done_run(world, organization)
    taken = await reader.take(a_report(came_to=sender_of(run, organization.members[0].id), status=status, diagnosis="smtp; 550 no"))
    assert (taken.result, taken.is_suppressed) == (Result.BOUNCED, False)
    assert await suppressions.list_suppressions(world.pool) == []


async def test_a_report_that_is_quicker_than_the_ledger_comes_again(world: World, organization: Organization, reader: Reader) -> None:
    with_bounce_address(world)
    member = organization.members[0]
    assert member.email
    run = await world.require(organization)
    await world.enforce_all(run)
    world.relay.rules.append(Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, recipient=member.email, times=1))
    await world.step("notify_batch")
    report = a_report(came_to=sender_of(run, member.id))
    assert (await world.letter(run, member))["state"] == "owed"  # in doubt, and sent once more
    assert (await reader.take(report)).result is Result.TOO_EARLY
    assert await suppressions.list_suppressions(world.pool) == []
    await world.run_to_end(run)
    assert (await reader.take(report)).result is Result.BOUNCED


async def test_what_was_never_confirmed_is_confirmed_not_to_have_arrived(world: World, organization: Organization, reader: Reader) -> None:
    member = organization.members[0]
    assert member.email
    world.relay.rules.append(Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, recipient=member.email))
    run = await a_done_run(world, organization)
    assert (await world.letter(run, member))["state"] == "uncertain"
    assert (await reader.take(a_report(came_to=sender_of(run, member.id)))).result is Result.BOUNCED
    assert (await world.status(run))["letters"]["uncertain"] == 0


async def test_letters_of_a_run_that_was_stopped_come_back_too(world: World, organization: Organization, reader: Reader) -> None:
    with_bounce_address(world)
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.step("notify_batch")
    await world.cancel(run)
    assert (await reader.take(a_report(came_to=sender_of(run, organization.members[0].id)))).result is Result.BOUNCED
    await world.step_until(world.nothing_open)


async def test_who_never_saw_the_letter_can_not_silence_anybody(world: World, organization: Organization, reader: Reader) -> None:
    run = await a_done_run(world, organization)
    mine, yours = (sender_of(run, member.id) for member in organization.members[:2])
    proof = mine.partition("@")[0][-14:]
    forged = yours.replace(yours.partition("@")[0][-14:], proof)
    for came_to in (forged, mine.replace("n1", "r1", 1), mine.replace("+n1-", "+n2-"), mine.replace(proof, "0" * 14)):
        taken = await reader.take(a_report(came_to=came_to))
        assert (taken.result, taken.why, taken.member) == (Result.IGNORED, Uselessness.FORGED, None), came_to
    assert await suppressions.list_suppressions(world.pool) == []
    assert (await world.status(run))["letters"]["refused"] == 0


async def test_a_letter_that_is_not_in_the_ledger_any_more_is_passed_over(world: World, organization: Organization, reader: Reader) -> None:
    assert (await reader.take(a_report(came_to=sender_of(999, 1)))).why is Uselessness.UNKNOWN_LETTER
    assert (await reader.take(a_report(came_to=sender_of(999, "no number at all")))).why is Uselessness.UNKNOWN_LETTER
    assert (await reader.take(a_report(came_to="security@app.example.com"))).why is Uselessness.NOT_OURS


def accepted_by(world: World, member: Member) -> bytes:
    return world.contents(member)[-1]


@pytest.mark.parametrize("paths", [None, PATHS], ids=["no bounce address", "a relay that sets its own sender"])
async def test_without_a_sender_of_its_own_the_quoted_header_finds_the_letter(
    world: World, organization: Organization, paths: ReturnPaths | None
) -> None:
    run = await world.require(organization)
    await world.run_to_end(run)
    member, other, _ = organization.members
    reader = await a_reader(world, paths)
    letter = accepted_by(world, member)
    assert member.email
    taken = await reader.take(a_report(letter, about=member.email))
    assert (taken.result, taken.slot, taken.member, taken.is_suppressed) == (Result.BOUNCED, "notice", str(member.id), True)
    assert other.email
    stolen = letter.replace(f"To: Ada Lovelace <{member.email}>".encode(), f"To: <{other.email}>".encode())
    assert (await reader.take(a_report(stolen, about=other.email))).why is Uselessness.FORGED
    report = accepted_by(world, organization.admin)
    assert organization.admin.email
    assert (await reader.take(a_report(report, about=organization.admin.email))).slot == "report"


async def test_a_report_by_quotation_finds_its_member_by_an_index(world: World, organization: Organization) -> None:
    """Anybody can order such a look-up by mail, so it must not read a million letters, or a million people."""
    run = await world.require(organization)
    await world.run_to_end(run)
    await world.db.execute(
        "WITH added AS (INSERT INTO app.users (email) SELECT format('u%s@example.com', n) FROM generate_series(1, 5000) n"
        " RETURNING user_id)"
        " INSERT INTO app.memberships (organization_id, user_id) SELECT $1, user_id FROM added",
        organization.id,
    )
    await world.db.execute("ANALYZE")
    async with used(world.db) as tables:
        addresses = ["u77@example.com", "Nobody@Example.com"]
        assert len(await bounces.members_by_address(world.db, run, addresses)) == 1
    assert sum(use.rows for use in tables.values()) < 20
    assert "portcullis.delivery" not in tables


async def test_a_report_about_an_address_that_was_changed_since_finds_nobody(world: World, organization: Organization) -> None:
    run = await world.require(organization)
    await world.run_to_end(run)
    member = organization.members[0]
    assert member.email
    letter = accepted_by(world, member)
    await world.db.execute("UPDATE app.users SET email = 'new@example.com' WHERE user_id = $1", member.id)
    taken = await (await a_reader(world, None)).take(a_report(letter, about=member.email))
    assert (taken.result, taken.why) == (Result.IGNORED, Uselessness.UNKNOWN_LETTER)


async def test_a_warning_about_a_factor_that_comes_back(world: World, organization: Organization, reader: Reader) -> None:
    with_bounce_address(world)
    member = organization.members[0]
    assert world.resources.mail is not None
    owe = "INSERT INTO portcullis.factor_letter (user_id, letter) VALUES ($1, 'factor_reset') RETURNING letter_id"
    first, second = [await world.db.fetchval(owe, member.id) for _ in range(2)]
    await post(world.pool, world.resources.mail)
    taken = await reader.take(a_report(came_to=sender_of(first, member.id, "factor_reset")))
    assert (taken.result, taken.is_suppressed) == (Result.BOUNCED, True)
    assert member.email
    quoted = next(letter for letter in world.contents(member) if f"factor_reset:{second}:".encode() in letter)
    assert (await reader.take(a_report(quoted, about=member.email))).result is Result.BOUNCED
    states = await world.db.fetch("SELECT state, reason LIKE 'bounced: 5.1.1%' AS why FROM portcullis.factor_letter")
    assert [tuple(state) for state in states] == [("refused", True)] * 2
    world.relay.accepted.clear()  # the checker knows of no letters about factors
    world.relay.contents.clear()
