"""Fixtures of the broker's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.broker_app.bench import Bench
from tests.integration.broker_app.own_valkey import OwnValkey


@pytest.fixture
def bench(redis_url: str) -> Iterator[Bench]:
    bench = Bench(redis_url)
    yield bench
    bench.close()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    valkey = OwnValkey(tmp_path)
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture
def own_bench(own_valkey: OwnValkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench on a server that may break; what times out does so soon, and dramatiq does not wait three seconds to try again."""
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.1)
    bench = Bench(f"{own_valkey.url}?socket_timeout=0.5")
    yield bench
    bench.close()
