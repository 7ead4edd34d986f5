"""Run a verb in this process, as `portcullis` would, and see what it said."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from workers.cli.app import run
from workers.cli.exit_codes import ExitCode
from workers.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended and what it printed."""

    code: ExitCode
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What `--json` printed: exactly one line."""
        [line] = self.out.splitlines()
        return json.loads(line)


class Cli:
    """The command line, with nothing of ours in its environment but what it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], environment: Mapping[str, str]) -> None:
        for field in Settings.model_fields.values():
            monkeypatch.delenv(str(field.alias), raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        self._capsys = capsys

    async def __call__(self, *tokens: object) -> Outcome:
        """Run a command; ids may be passed as they are."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(run, [str(token) for token in tokens])
        out, err = self._capsys.readouterr()
        return Outcome(code=code, out=out, err=err)


async def until(condition: Callable[[], Awaitable[object]], *, seconds: float = 30) -> None:
    """Wait until something can be seen in the database."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 -- what another process does sets no event of ours
            await asyncio.sleep(0.03)
