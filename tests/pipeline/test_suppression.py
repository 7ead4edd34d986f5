"""Addresses that refuse mail for good, or that people want left alone: found out, obeyed, told to the admin, and let go again."""

import asyncio
from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from jobs.letters import Composer
from jobs.second_factor.posting import post
from jobs.store import suppressions
from jobs.store.steering import MalformedOrderError, Order, Stale, list_actions
from jobs.store.suppressions import Source
from tests.builders import Member, Organization, a_member, an_organization
from tests.pipeline.world import KEY, World
from tests.relay import Rule, Stage

NEVER = "550 5.1.1 no such user"
ORDER = Order(actor="mara", via="cli", reason="belongs to a stranger")


@pytest.fixture
async def organization(world: World) -> Organization:
    return await an_organization(world.db, members=3)


def refusing(world: World, member: Member, reply: str = NEVER) -> None:
    assert member.email
    world.relay.rules.append(Rule(stage=Stage.RCPT, reply=reply, recipient=member.email))


async def listed(world: World) -> dict[str, tuple[str, str]]:
    return {one.address: (one.source, one.reason) for one in await suppressions.list_suppressions(world.pool)}


async def once_more(world: World, organization: Organization) -> int:
    """Lift the requirement, switch on again, and let that run end."""
    await world.lift(organization)
    run = await world.require(organization)
    await world.run_to_end(run)
    return run


def tried(world: World, member: Member) -> int:
    return sum(command.lower() == f"rcpt to:<{member.email}>".lower() for _, command in world.relay.commands)


async def test_who_refuses_for_ever_is_written_to_once_and_named_with_what_to_do(world: World, organization: Organization) -> None:
    gone, *others = organization.members
    refusing(world, gone)
    await world.run_to_end(await world.require(organization))
    assert list(await listed(world)) == [gone.email]
    found = (await suppressions.list_suppressions(world.pool))[0]
    assert (found.source, found.organization_id) == (Source.REFUSED, organization.id)
    assert "550 5.1.1" in found.reason
    assert found.expires_at is not None
    assert 179 <= (found.expires_at - found.since).days <= 180

    run = await once_more(world, organization)
    letter = await world.letter(run, gone)
    assert (letter["state"], letter["reason"]) == ("suppressed", "address_suppressed")
    assert tried(world, gone) == 1
    assert [world.kinds(other) for other in others] == [["signed_out"] * 2] * 2
    status = await world.status(run)
    assert (status["letters"]["suppressed"], status["letters"]["accepted"]) == (1, 3)
    report = message_from_bytes(world.contents(organization.admin)[-1], policy=policy.default)
    text = report.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    told = " ".join(text.split())
    assert f"{gone.email} \N{EN DASH} not written to, because it refused mail before" in told
    assert "take it off the suppression list" in told


async def test_a_new_address_is_written_to(world: World, organization: Organization) -> None:
    gone = organization.members[0]
    refusing(world, gone)
    await world.run_to_end(await world.require(organization))
    await world.change("UPDATE app.users SET email = 'new@kestrel.example' WHERE user_id = $1", gone.id)
    run = await once_more(world, organization)
    assert (await world.letter(run, gone))["state"] == "accepted"


@pytest.mark.parametrize("reply", ["450 4.2.2 mailbox full", "552 5.2.2 over quota"])
async def test_who_may_take_it_later_is_not_on_the_list(world: World, organization: Organization, reply: str) -> None:
    refusing(world, organization.members[0], reply)
    run = await world.require(organization)
    await world.enforce_all(run)
    await world.step("notify_batch")
    assert await listed(world) == {}


async def test_what_people_put_there_holds_whatever_the_spelling_and_until_it_is_removed(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert member.email
    await suppressions.suppress(world.pool, ORDER, f" {member.email.upper()} ")
    run = await world.require(organization)
    await world.run_to_end(run)
    assert (await world.letter(run, member))["state"] == "suppressed"
    assert await suppressions.unsuppress(world.pool, ORDER, member.email) is Source.OPERATOR
    assert (await world.letter(await once_more(world, organization), member))["state"] == "accepted"


async def test_an_address_in_another_script_is_found_in_both_spellings(world: World, organization: Organization) -> None:
    await suppressions.suppress(world.pool, ORDER, "ada@bücher.example")
    assert sorted(await listed(world)) == ["ada@bücher.example", "ada@xn--bcher-kva.example"]
    member = await a_member(world.db, organization.id, email="Ada@bücher.example")
    run = await world.require(organization)
    await world.run_to_end(run)
    assert (await world.letter(run, member))["reason"] == "address_suppressed"
    await suppressions.unsuppress(world.pool, ORDER, "ada@xn--bcher-kva.example")
    assert await listed(world) == {}


async def test_orders_are_recorded_without_the_address(world: World, organization: Organization) -> None:
    await suppressions.suppress(world.pool, ORDER, "ada@example.com")
    await suppressions.unsuppress(world.pool, ORDER, "ada@example.com")
    with pytest.raises(Stale, match="not on the list"):
        await suppressions.unsuppress(world.pool, ORDER, "ada@example.com")
    with pytest.raises(MalformedOrderError):
        await suppressions.suppress(world.pool, ORDER, "nobody")
    done = await list_actions(world.pool)
    assert [action.verb for action in done] == ["unsuppress", "suppress"]
    assert {action.subject for action in done} == {suppressions.digest_of("ada@example.com")}
    assert "ada@example" not in repr(done)


async def test_time_lets_an_address_go_but_not_what_people_said(world: World, organization: Organization) -> None:
    gone, told, _ = organization.members
    refusing(world, gone)
    assert told.email
    await suppressions.suppress(world.pool, ORDER, told.email)
    await world.run_to_end(await world.require(organization))
    await world.db.execute("UPDATE portcullis.suppression SET expires_at = now() - interval '1 day' WHERE source = 'refused'")
    assert list(await listed(world)) == [told.email]
    world.relay.rules.clear()
    run = await once_more(world, organization)
    assert [(await world.letter(run, member))["state"] for member in (gone, told)] == ["accepted", "suppressed"]


async def test_a_refusal_does_not_end_what_people_said(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert member.email
    run = await world.require(organization)
    await world.enforce_all(run)
    refusing(world, member)
    hint = (await world.look())[0]
    claim = await world.claim(hint)
    await world.let_leases_end()
    await suppressions.suppress(world.pool, ORDER, member.email)
    await world.db.execute(
        "SELECT portcullis.suppress(ARRAY[$1], 'refused', ARRAY['no'], ARRAY[1::bigint], ARRAY[NULL::bigint])", member.email
    )
    assert await listed(world) == {member.email: ("operator", ORDER.reason)}
    assert claim.run_id == run
    world.relay.rules.clear()
    await world.run_to_end(run)


async def test_the_report_is_tried_all_the_same_unless_people_forbid_it(world: World, organization: Organization) -> None:
    admin = organization.admin
    await world.db.execute(
        "SELECT portcullis.suppress(ARRAY[$1], 'bounce', ARRAY['no'], ARRAY[1::bigint], ARRAY[NULL::bigint])", admin.email
    )
    run = await world.require(organization)
    await world.run_to_end(run)
    assert (await world.letter(run, admin))["state"] == "suppressed"
    assert (await world.letter(run, admin, "report"))["state"] == "accepted"
    assert admin.email
    await suppressions.suppress(world.pool, ORDER, admin.email)
    run = await once_more(world, organization)
    assert (await world.letter(run, admin, "report"))["state"] == "suppressed"


async def test_warnings_about_a_factor_are_tried_all_the_same_unless_people_forbid_it(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert member.email
    assert world.resources.mail is not None
    await world.db.execute(
        "SELECT portcullis.suppress(ARRAY[$1], 'bounce', ARRAY['no'], ARRAY[1::bigint], ARRAY[NULL::bigint])", member.email
    )
    owe = "INSERT INTO portcullis.factor_letter (user_id, letter) VALUES ($1, 'factor_reset') RETURNING letter_id"
    await world.db.fetchval(owe, member.id)
    assert await post(world.pool, world.resources.mail) == 1
    assert world.kinds(member) == ["factor_reset"]
    await suppressions.suppress(world.pool, ORDER, member.email)
    forbidden = await world.db.fetchval(owe, member.id)
    await post(world.pool, world.resources.mail)
    state = await world.db.fetchrow("SELECT state, reason FROM portcullis.factor_letter WHERE letter_id = $1", forbidden)
    assert tuple(state) == ("suppressed", "address_suppressed")
    world.relay.accepted.clear()  # the checker knows of no letters about factors
    world.relay.contents.clear()


async def test_a_refused_warning_puts_its_address_on_the_list(world: World, organization: Organization) -> None:
    member = organization.members[0]
    assert world.resources.mail is not None
    refusing(world, member)
    await world.db.execute("INSERT INTO portcullis.factor_letter (user_id, letter) VALUES ($1, 'factor_reset')", member.id)
    await post(world.pool, world.resources.mail)
    assert [source for source, _ in (await listed(world)).values()] == ["refused"]


async def test_two_mailers_with_the_same_addresses_do_not_wait_in_a_circle(world: World) -> None:
    addresses = [f"member{number}@kestrel.example" for number in range(400)]

    async def suppress(order: list[str]) -> None:
        count = len(order)
        await world.pool.execute(
            "SELECT portcullis.suppress($1, 'refused', $2, $3, $4)", order, ["no"] * count, [1] * count, [None] * count
        )

    await asyncio.gather(*[suppress(order) for order in (addresses, addresses[::-1]) * 5])
    assert await world.pool.fetchval("SELECT count(*) FROM portcullis.suppression") == 400


async def test_members_who_share_an_address_are_one_entry(world: World, organization: Organization) -> None:
    shared, twin, _ = organization.members
    assert shared.email
    await world.change("UPDATE app.users SET email = upper($2) WHERE user_id = $1", twin.id, shared.email)
    world.relay.rules += [Rule(stage=Stage.RCPT, reply=NEVER, recipient=address) for address in (shared.email, shared.email.upper())]
    await world.run_to_end(await world.require(organization))
    assert list(await listed(world)) == [shared.email]


def with_bounce_address(world: World) -> None:
    assert world.resources.mail is not None
    composer = Composer(
        mail_from="security@app.example.com",
        app_url="https://app.example.com",
        message_id_key=KEY,
        message_id_key_id="k1",
        bounce_address="bounces@mail.example.com",
    )
    world.resources = replace(world.resources, mail=replace(world.resources.mail, composer=composer))


async def test_each_letter_leaves_with_a_sender_of_its_own(world: World, organization: Organization) -> None:
    with_bounce_address(world)
    await world.run_to_end(await world.require(organization))
    senders = {command for _, command in world.relay.commands if command.lower().startswith("mail from:<bounces+")}
    assert len(senders) == 5  # three members, the admin, and the report
