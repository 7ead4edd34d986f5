"""One definition of the verdict: SQL's and its Python mirror give the same word for every combination of facts, nulls included."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.domain.letters import LetterKind
from jobs.domain.verdicts import Standing, Verdict, judge

FACT = (None, False, True)
KINDS = (None, "employee", "service", "")
EXEMPTIONS: tuple[list[str | None] | None, ...] = (None, [], ["service"], ["client", "service"], [None], [None, "employee"], [""])

JUDGE = "SELECT portcullis.verdict(%s, %s, %s, %s, %s, %s::text[])"

LETTERS = {
    Verdict.UNPROTECTED: LetterKind.SIGNED_OUT,
    Verdict.PROTECTED: LetterKind.PROTECTED,
    Verdict.SSO: LetterKind.SINGLE_SIGN_ON,
    Verdict.EXEMPT: LetterKind.EXEMPT,
    Verdict.INACTIVE: None,
}
"""The table of design.md, written down once more."""


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def ask(sql: psycopg.Connection[Any], standing: Standing, exempt_kinds: list[str | None] | None) -> str:
    facts = (standing.is_active, standing.has_password, standing.has_sso, standing.has_second_factor, standing.kind)
    row = sql.execute(JUDGE, (*facts, exempt_kinds)).fetchone()
    assert row is not None
    return str(row[0])


def exempt(kinds: list[str | None] | None) -> frozenset[str]:
    return frozenset(kind for kind in kinds or () if kind is not None)


def test_every_combination_of_facts_has_the_same_verdict_in_sql_and_in_python(sql: psycopg.Connection[Any]) -> None:
    combinations = list(product(FACT, FACT, FACT, FACT, KINDS, EXEMPTIONS))
    with sql.cursor() as cursor:
        cursor.executemany(JUDGE, combinations, returning=True)
        said = [row[0] for result in cursor.results() for row in result]
    expected = [
        judge(
            Standing(is_active=active, has_password=password, has_sso=sso, has_second_factor=factor, kind=kind),
            exempt(kinds),
        )
        for active, password, sso, factor, kind, kinds in combinations
    ]
    assert said == expected
    assert set(said) == set(Verdict), "the combinations reach every verdict"


words = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8))
facts = st.sampled_from(FACT)
standings = st.builds(Standing, is_active=facts, has_password=facts, has_sso=facts, has_second_factor=facts, kind=words)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(standing=standings, exempt_kinds=st.one_of(st.none(), st.lists(words, max_size=4)), is_exempt=st.booleans())
@example(standing=Standing(kind="Service"), exempt_kinds=["service"], is_exempt=False)
@example(standing=Standing(kind="service "), exempt_kinds=["service"], is_exempt=False)
@example(standing=Standing(kind="e\u0301"), exempt_kinds=["\u00e9"], is_exempt=False)
@example(standing=Standing(kind="%"), exempt_kinds=["employee"], is_exempt=False)
def test_any_word_for_a_kind_is_compared_alike(
    sql: psycopg.Connection[Any], standing: Standing, exempt_kinds: list[str | None] | None, *, is_exempt: bool
) -> None:
    kinds = [*(exempt_kinds or []), standing.kind] if is_exempt else exempt_kinds
    assert ask(sql, standing, kinds) == judge(standing, exempt(kinds))


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        (Standing(), Verdict.UNPROTECTED),
        (Standing(is_active=False, has_second_factor=True), Verdict.INACTIVE),
        (Standing(is_active=None, has_second_factor=True), Verdict.PROTECTED),
        (Standing(has_password=False, has_sso=True), Verdict.SSO),
        (Standing(has_password=None, has_sso=True), Verdict.UNPROTECTED),
        (Standing(has_password=True, has_sso=True), Verdict.UNPROTECTED),
        (Standing(has_password=False, has_sso=False), Verdict.UNPROTECTED),
        (Standing(has_password=False, has_sso=None), Verdict.UNPROTECTED),
        (Standing(has_password=True, has_sso=True, has_second_factor=True), Verdict.PROTECTED),
        (Standing(kind="service"), Verdict.EXEMPT),
        (Standing(kind="service", has_second_factor=True), Verdict.PROTECTED),
        (Standing(kind="service", is_active=False), Verdict.INACTIVE),
    ],
)
def test_nulls_fail_closed_and_the_first_line_that_fits_decides(sql: psycopg.Connection[Any], standing: Standing, verdict: Verdict) -> None:
    assert ask(sql, standing, ["service"]) == verdict
    assert judge(standing, frozenset({"service"})) is verdict


@pytest.mark.parametrize("verdict", list(Verdict))
def test_each_verdict_calls_for_its_letter(sql: psycopg.Connection[Any], verdict: Verdict) -> None:
    row = sql.execute("SELECT portcullis.letter_for(%s)", (str(verdict),)).fetchone()
    assert row is not None
    assert row[0] == LETTERS[verdict]


def test_a_word_that_is_no_verdict_calls_for_no_letter(sql: psycopg.Connection[Any]) -> None:
    assert sql.execute("SELECT portcullis.letter_for('unheard of'), portcullis.letter_for(NULL)").fetchone() == (None, None)


def test_the_ledger_takes_every_verdict_and_no_other_word(sql: psycopg.Connection[Any]) -> None:
    insert = "INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, state) VALUES (1, 'notice', %s, 1, %s, 'owed')"
    for number, verdict in enumerate(Verdict):
        sql.execute(insert, (number, str(verdict)))
    with pytest.raises(psycopg.errors.CheckViolation):
        sql.execute(insert, (99, "unheard of"))
