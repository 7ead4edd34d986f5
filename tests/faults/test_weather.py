"""A fault that is cut off takes itself away: whatever it broke is whole again, or the next one would be blamed."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.checker import History
from tests.faults.proxy import Proxy
from tests.faults.weather import FAULTS, Fault

if TYPE_CHECKING:
    from tests.faults.ground import Ground


class Server:
    """PostgreSQL, Valkey or the relay, as far as a fault may turn it off, slow it down or give it rules."""

    def __init__(self) -> None:
        self.condition: list[Any] = ["running"]

    def start(self, *options: str) -> None:
        self.condition = ["running", *options]

    def stop(self) -> None:
        self.condition = ["stopped"]

    kill = stop

    def freeze(self) -> None:
        self.condition.append("frozen")

    def thaw(self) -> None:
        self.condition.remove("frozen")

    def obey(self, rules: list[Any]) -> None:
        self.condition = ["running", *rules]

    def config_set(self, name: str, value: str) -> None:
        self.condition = ["running"] if value == "0" else ["running", f"{name}={value}"]


class Crew:
    def __init__(self) -> None:
        self.is_paused, self.clock = False, 0.0

    def pause_all(self) -> None:
        self.is_paused = True

    def resume_all(self) -> None:
        self.is_paused = False

    def set_clock(self, seconds: float) -> None:
        self.clock = seconds

    def kill(self, kind: str, random: Random) -> str:
        return kind

    def family(self, kind: str, random: Random) -> list[Any]:
        return []


class Wire(Proxy):
    def cut(self) -> None:
        pass


class Place:
    """A ground that only remembers what is broken."""

    def __init__(self) -> None:
        self.postgres, self.valkey, self.relay, self.crew, self.proxy = Server(), Server(), Server(), Crew(), Wire(0)
        self.history, self.chaos = History(), Counter[str]()

    def say(self, what: str) -> None:
        pass

    @contextmanager
    def redis(self) -> Iterator[Any]:
        yield Client(self.valkey)

    async def rows(self, query: str) -> list[Any]:
        return []

    async def change(self, statement: str, *arguments: Any) -> None:
        if "chaos.fault" in statement:
            self.chaos = Counter({"statements": 1}) if statement.startswith("INSERT") else Counter()

    async def connect(self) -> Any:
        raise OSError("too many")

    @property
    def broken(self) -> dict[str, Any]:
        proxy = self.proxy
        now = {
            "PostgreSQL": self.postgres.condition != ["running"],
            "Valkey": self.valkey.condition != ["running"],
            "relay": self.relay.condition != ["running"],
            "network": bool(proxy.delay_seconds or proxy.commits_to_cut or proxy.answers_to_lose or not proxy._flows.is_set()),
            "workers": self.crew.is_paused or self.crew.clock != 0,
            "statements": bool(self.chaos),
        }
        return {name: is_broken for name, is_broken in now.items() if is_broken}


class Client:
    """Redis's own client, as far as a fault uses it."""

    def __init__(self, valkey: Server) -> None:
        self.config_set = valkey.config_set

    def flushall(self) -> None:
        pass

    def rpush(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("pauses", [0, 1, 2])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.says)
async def test_a_fault_that_is_cut_off_leaves_nothing_broken(fault: Fault, pauses: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off at its first pause, at a later one, or never."""
    left = pauses

    async def pause(_: float) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError

    monkeypatch.setattr("tests.faults.weather.asyncio.sleep", pause)
    place = Place()
    try:
        await fault.do(cast("Ground", place), Random(7))
    except asyncio.CancelledError:
        assert left < 0
    assert place.broken == {}
