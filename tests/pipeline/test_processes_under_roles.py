"""Every process of the Procfile with the rights of its own role and no others. `make test-roles` runs all tests so."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from jobs.audit.watch import QUERIES
from tests.builders import an_organization
from tests.conftest import Databases
from tests.pipeline.system import System, Visit, a_system
from tests.role_parts import a_database_with_roles
from workers.demo.servers import Servers

SEALED = "SELECT count(*) > 0 FROM portcullis.audit_checkpoint WHERE NOT EXISTS (SELECT FROM portcullis.audit_unsealed)"
LOOKED = "SELECT count(*) FROM portcullis.audit_result WHERE ok"


@pytest.fixture(scope="module")
def system(databases: Databases, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with (
        a_database_with_roles(databases) as url,
        a_system(tmp_path_factory.mktemp("system"), url, servers.redis_url, roles=True) as system,
    ):
        yield system


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where console and metrics will listen."""
    free = {}
    for name in ("console", "metrics"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            free[name] = f"127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv(f"PORTCULLIS_{name.upper()}_ADDRESS", free[name])
    return free


async def test_a_run_is_done_sealed_watched_and_shown_by_processes_that_may_do_nothing_else(
    visit: Visit, addresses: dict[str, str]
) -> None:
    status = await visit.until_done(await visit.require(await an_organization(visit.db, members=5)))
    assert (status["state"], status["sessions_ended"], status["letters"]["accepted"]) == ("done", 5, 6)
    await visit.until(lambda: visit.db.fetchval(SEALED))
    for name in ("auditor", "metrics", "console"):
        visit.system.start(name)

    async def have_looked() -> bool:
        return bool(await visit.db.fetchval(LOOKED) == len(QUERIES) + 1)

    await visit.until(have_looked)
    for url in (f"http://{addresses['metrics']}/readyz", f"http://{addresses['console']}/sign-in"):
        await visit.until(lambda url=url: answers(url))  # type: ignore[misc]
    for name in ("auditor", "metrics", "console"):
        assert await visit.system.terminate(name) == [0], visit.system.logs()


async def answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(url)).status_code == 200
    except httpx.TransportError:
        return False
