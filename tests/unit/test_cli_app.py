"""The verbs, their help, and wrong usage."""

import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest

from workers.cli.app import VERBS, Verb, run
from workers.cli.exit_codes import MEANINGS, ExitCode

EVERY_VERB = pytest.mark.parametrize("verb", VERBS, ids=[verb.name for verb in VERBS])
PROCESSES = {"conductor", "console", "metrics"}


def target(verb: Verb) -> object:
    module, _, name = verb.path.partition(":")
    return getattr(importlib.import_module(module), name)


def help_of(*tokens: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run([*tokens, "--help"]) is ExitCode.OK
    return re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out))


@EVERY_VERB
def test_the_summary_is_the_first_line_of_the_verbs_docstring(verb: Verb) -> None:
    assert (inspect.getdoc(target(verb)) or "").splitlines()[0] == verb.summary


def test_the_help_lists_every_verb_with_its_summary_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    told = help_of(capsys=capsys)
    for verb in VERBS:
        assert f"{verb.own_name} {verb.summary.replace('`', '')}" in (help_of(verb.under, capsys=capsys) if verb.under else told)
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning.replace('`', '')}" in told


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


@EVERY_VERB
def test_the_help_of_each_verb_teaches_by_example(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    told = help_of(*verb.name.split(), capsys=capsys)
    assert f"$ portcullis {verb.name}" in told
    assert verb.summary.replace("`", "") in told
    assert "Exit codes" in told
    assert ("--json" in told) == (verb.name not in PROCESSES)


@EVERY_VERB
def test_every_option_is_explained(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb.name.split(), "--help"]) is ExitCode.OK
    for line in capsys.readouterr().out.splitlines():
        if found := re.match(r"│ [* ]\s+(--[a-z-]+|[A-Z]{2,})[^ ]*( [A-Z]+\.*)?(.*)│", line):
            assert re.search(r"[a-z]{2,}", found[3]), line


@pytest.mark.parametrize(
    "tokens",
    [
        ["nope"],
        ["status"],
        ["status", "seven"],
        ["status", "0"],
        ["status", str(2**63)],
        ["status", "1", "2"],
        ["status", "1", "--colour"],
        ["enforce", "42"],
        ["enforce", "42", "--as", "7"],
        ["cancel", "7"],
        ["runs", "--limit", "0"],
        ["migrate", "--member-id-type", "smallint"],
        ["replay", "--reason", "x"],
        ["replay", "7", "--run", "7", "--reason", "x"],
        ["watch", "1", "--every", "0"],
        ["demo", "--users", "1"],
        ["letters", "nope"],
        ["letters", "preview", "--port", "65536"],
        ["letters", "send-test"],
        ["letters", "send-test", "a@example.com", "--kind", "nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_said_in_words_and_ends_with_two(tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tokens) is ExitCode.USAGE
    told = capsys.readouterr()
    assert told.err.startswith("portcullis: ")
    assert "What to do: " in told.err
    assert "Traceback" not in told.err
    assert told.out == ""
    assert run([*tokens, "--json"]) is ExitCode.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 2


def test_a_mistyped_verb_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    run(["staus", "1"])
    assert 'Did you mean "status"?' in capsys.readouterr().err


def test_help_and_a_quick_look_import_nothing_slow() -> None:
    code = (
        "import sys; from workers.cli.app import run; run(sys.argv[1:]);"
        "print(sorted({'sqlalchemy', 'alembic', 'dramatiq', 'aiosmtplib', 'redis', 'uvloop', 'psycopg', 'jinja2'} & set(sys.modules)))"
    )
    for tokens in (["--help"], ["status", "1"]):
        ran = subprocess.run([sys.executable, "-c", code, *tokens], capture_output=True, text=True, check=True, env={})
        assert ran.stdout.splitlines()[-1] == "[]"
