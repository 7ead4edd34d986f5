"""The README is true: its commands exist, its SQL runs, its settings are the settings, its links lead somewhere."""

import importlib
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from pydantic_core import PydanticUndefined

from workers.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTING = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \|", re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(README) if found == language]


def commands(program: str) -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line[:1] == [program]]


@pytest.mark.parametrize("target", sorted({line[0] for line in commands("make")}))
def test_each_make_target_exists_and_says_what_it_does(target: str) -> None:
    assert re.search(rf"^{target}:.*## \S", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("line", commands("portcullis"), ids=" ".join)
def test_each_portcullis_command_is_one_that_its_help_knows(line: list[str]) -> None:
    verb, *rest = line
    words = [verb, *itertools.takewhile(re.compile(r"[a-z-]*[a-z]").fullmatch, rest)]
    shown = subprocess.run(
        [sys.executable, "-m", "workers", *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert verb in shown
    for flag in (word for word in rest if word.startswith("--")):
        assert flag in shown


def test_the_test_command_is_what_ci_runs() -> None:
    assert ["test"] in commands("make")
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


async def test_the_sql_runs_as_written(db: asyncpg.Connection) -> None:
    await db.execute("""
        INSERT INTO app.organizations (organization_id, name) OVERRIDING SYSTEM VALUE VALUES (4, 'Acme');
        INSERT INTO app.users (user_id, email, password_hash) OVERRIDING SYSTEM VALUE
        VALUES (21, 'admin@acme.example', 'x'), (17, 'member@acme.example', 'x');
        INSERT INTO app.memberships (organization_id, user_id) VALUES (4, 21), (4, 17);
        INSERT INTO app.second_factors (user_id, confirmed_at) VALUES (21, now());
    """)
    asked, switched = (block for block in blocks("sql") if "portcullis." in block)
    for statement in re.sub(r"--.*", "", asked + switched).split(";"):
        if statement.strip():
            await db.execute(statement)


def test_the_directory_for_django_that_it_links_to_is_the_one_that_is_tested() -> None:
    [linked] = re.findall(r"\]\((\S+)\) for Django", README)
    [installed] = importlib.import_module("tests.django_app.migrations.0002_directory").Migration.operations
    assert installed.sql == [(ROOT / linked).read_text(encoding="utf-8")]


def test_the_table_of_settings_is_the_settings() -> None:
    described = dict(SETTING.findall(README))
    assert set(described) == {str(field.alias) for field in Settings.model_fields.values()}
    for field in Settings.model_fields.values():
        stated = described[str(field.alias)].strip("`")
        if field.default is PydanticUndefined:
            assert stated == "required", field.alias
        elif field.default is not None:
            assert stated == str(field.default), field.alias


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_each_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"^\| `([^|]+?)` \| ", README, re.MULTILINE)) - set(dict(SETTING.findall(README)))))
def test_the_map_names_what_exists(path: str) -> None:
    for part in path.replace("`", "").split(", "):
        assert (ROOT / part).exists(), part
