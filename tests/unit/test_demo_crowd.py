"""The people of the demo are realistic, and what is expected of them is right."""

from collections import Counter
from random import Random

import pytest

from jobs.domain.addresses import Unaddressable, to_mailbox
from jobs.domain.verdicts import Standing, judge
from workers.demo.accounts import TRAITS, Account, Letter, Shape
from workers.demo.crowd import Crowd
from workers.demo.oddities import oddities


def a_crowd(size: int = 5000, share_unprotected: float = 0.6, seed: int = 1, first: int = 1) -> list[Account]:
    crowd = Crowd(size=size, domain="kestrel.example", share_unprotected=share_unprotected, sessions_each=2, first=first)
    return list(crowd.invent(Random(seed)))


def outcome(account: Account) -> Letter:
    """What Portcullis and the receiver would make of this address."""
    try:
        mailbox = to_mailbox(account.email)
    except Unaddressable:
        return Letter.SUPPRESSED
    return Letter.REFUSED if mailbox.startswith(("gone.", "unknown.")) else Letter.ACCEPTED


@pytest.mark.parametrize("shape", Shape)
def test_the_verdict_expected_of_a_shape_is_the_one_that_its_facts_lead_to(shape: Shape) -> None:
    traits = TRAITS[shape]
    standing = Standing(
        is_active=traits.active, has_password=traits.password, has_sso=traits.sso, has_second_factor=traits.factor == "confirmed"
    )
    assert judge(standing) == traits.verdict


@pytest.mark.parametrize("account", oddities("kestrel.example") + a_crowd(130)[:3], ids=lambda account: repr(account.name)[:30])
def test_the_outcome_expected_of_a_letter_is_the_one_that_the_address_leads_to(account: Account) -> None:
    assert account.letter == (outcome(account) if account.traits.active else Letter.SUPPRESSED)


def test_the_same_seed_invents_the_same_people_and_another_one_others() -> None:
    assert a_crowd(200, seed=7) == a_crowd(200, seed=7)
    assert a_crowd(200, seed=7) != a_crowd(200, seed=8)


def test_no_two_people_share_an_address_not_even_across_organizations() -> None:
    everybody = a_crowd(2000) + a_crowd(2000, first=2001)
    addresses = Counter(account.email for account in everybody if account.email)
    assert addresses.most_common(1)[0][1] == 1


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_as_many_are_unprotected_as_asked_for(share: float) -> None:
    crowd = a_crowd(share_unprotected=share)
    unprotected = sum(account.traits.verdict == "unprotected" for account in crowd)
    assert abs(unprotected / len(crowd) - share) < 0.03


def test_every_shape_locale_and_kind_occurs_among_two_thousand() -> None:
    crowd = a_crowd(2000)
    assert {account.shape for account in crowd} == set(Shape)
    assert {account.kind for account in crowd} == {"employee", "client", "contractor", "service"}
    assert {account.locale for account in crowd} >= {"en-US", "de-DE", "ja-JP", "ar-EG", None}


def test_everybody_has_as_many_live_sessions_as_asked_for() -> None:
    assert {sum(session.is_listed for session in account.sessions) for account in a_crowd(500)} == {2}


def test_fewer_than_one_in_fifty_has_an_address_that_fails() -> None:
    failing = [account for account in a_crowd() if account.traits.active and account.letter is not Letter.ACCEPTED]
    assert 0 < len(failing) < 5000 / 50
