"""The verdict in Python: the table of design.md, row by row. That SQL says the same is tests/integration/test_verdict.py's."""

import pytest

from jobs.domain.letters import LetterKind, letter_for
from jobs.domain.verdicts import COMPLIANT, Standing, Verdict, judge

EXEMPT = frozenset({"service"})


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        (Standing(is_active=False, has_second_factor=True), Verdict.INACTIVE),
        (Standing(is_active=True, has_password=False, has_sso=True), Verdict.SSO),
        (Standing(is_active=True, has_password=False, has_sso=True, kind="service"), Verdict.SSO),
        (Standing(is_active=True, has_password=True, has_second_factor=True), Verdict.PROTECTED),
        (Standing(is_active=True, has_password=True, has_second_factor=True, kind="service"), Verdict.PROTECTED),
        (Standing(is_active=True, has_password=True, kind="service"), Verdict.EXEMPT),
        (Standing(is_active=True, has_password=True, kind="client"), Verdict.UNPROTECTED),
        (Standing(is_active=True, has_password=True, has_sso=True), Verdict.UNPROTECTED),
        (Standing(is_active=True, has_password=False, has_sso=False), Verdict.UNPROTECTED),
        (Standing(), Verdict.UNPROTECTED),
        (Standing(has_sso=True), Verdict.UNPROTECTED),
    ],
)
def test_the_first_line_that_fits_decides_and_what_is_not_known_fails_closed(standing: Standing, verdict: Verdict) -> None:
    assert judge(standing, EXEMPT) is verdict


def test_nobody_is_exempt_unless_the_policy_says_so() -> None:
    assert judge(Standing(has_password=True, kind="service")) is Verdict.UNPROTECTED


def test_whoever_complies_keeps_every_session_and_may_flip_the_switch() -> None:
    assert {Verdict.PROTECTED, Verdict.SSO} == COMPLIANT


def test_each_verdict_has_its_letter_and_whoever_is_inactive_has_none() -> None:
    assert {verdict: letter_for(verdict) for verdict in Verdict} == {
        Verdict.UNPROTECTED: LetterKind.SIGNED_OUT,
        Verdict.PROTECTED: LetterKind.PROTECTED,
        Verdict.SSO: LetterKind.SINGLE_SIGN_ON,
        Verdict.EXEMPT: LetterKind.EXEMPT,
        Verdict.INACTIVE: None,
    }
