"""Which answers speak against a kind of letter, or for a whole recipient domain; a row each."""

import pytest

from jobs.domain.outcomes import Scope
from jobs.domain.suspicion import is_refusal_for_good, speaks_for_domain


@pytest.mark.parametrize(
    ("scope", "code", "is_one"),
    [
        (Scope.RECIPIENT, 550, True),
        (Scope.MESSAGE, 554, True),
        (Scope.MESSAGE, 451, False),
        (Scope.RECIPIENT, None, False),
        (Scope.RECIPIENT_FOR_NOW, 550, False),
        (Scope.RELAY, 554, False),
        (Scope.UNCERTAIN, None, False),
        (Scope.ACCEPTED, 250, False),
    ],
)
def test_a_refusal_for_good_is_a_5xx_against_recipient_or_letter(scope: Scope, code: int | None, *, is_one: bool) -> None:
    assert is_refusal_for_good(scope, code) is is_one


@pytest.mark.parametrize(
    ("code", "enhanced", "text"),
    [
        (451, "4.7.1", "not now"),
        (450, "4.7.650", "The mail server has been temporarily rate limited due to IP reputation"),
        (421, None, "too much mail from your address"),
        (452, None, "try later"),
    ],
)
def test_not_now_without_a_reason_of_the_recipients_own_speaks_for_the_domain(code: int, enhanced: str | None, text: str) -> None:
    assert speaks_for_domain(Scope.RECIPIENT_FOR_NOW, code, enhanced, text)


@pytest.mark.parametrize(
    ("code", "enhanced", "text"),
    [
        (452, "4.2.2", "over quota"),
        (450, "4.2.0", "greylisted"),
        (450, None, "Greylisting in action, please come back later"),
        (450, "4.1.1", "unverified address"),
        (552, None, "mailbox full"),
    ],
)
def test_a_full_mailbox_and_a_wait_that_every_stranger_stands_once_do_not(code: int, enhanced: str | None, text: str) -> None:
    assert not speaks_for_domain(Scope.RECIPIENT_FOR_NOW, code, enhanced, text)


def test_policy_speaks_for_the_domain_and_a_faulty_letter_does_not() -> None:
    assert speaks_for_domain(Scope.MESSAGE, 550, "5.7.1", "blocked")
    assert speaks_for_domain(Scope.MESSAGE, 554, None, "Your access to this mail system has been rejected due to poor reputation")
    assert not speaks_for_domain(Scope.MESSAGE, 554, "5.6.0", "content malformed")
    assert not speaks_for_domain(Scope.RECIPIENT, 550, "5.1.1", "no such user")
    assert not speaks_for_domain(Scope.MESSAGE, None, "5.7.1", "never sent")
