"""One system for all scenarios, and a browser of their own for everybody in them. Skipped where there is no Chromium.

Everything ends with its module: while Playwright's event loop runs, pytest-asyncio can't run its own.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import redis
from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

from tests.browser import tools
from tests.browser.system import System, running
from tests.browser.visitor import Visitor
from tests.conftest import Databases
from workers.demo.folder import own_folder
from workers.demo.servers import Servers

WIDE = ViewportSize(width=900, height=760)
PHONE = ViewportSize(width=360, height=740)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run")
ANSWER_MILLISECONDS = 15_000

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = tools.chromium()
    if path is None:
        pytest.skip("Chromium is not installed; `make browser-test` as root installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        expect.set_options(timeout=ANSWER_MILLISECONDS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def system(servers: Servers, databases: Databases) -> Iterator[System]:
    if tools.chromium() is None:
        pytest.skip("Chromium is not installed; `make browser-test` as root installs it")
    name = databases.create()
    try:
        with running(_with_clean_redis(servers), databases.url_of(name), own_folder("browser")) as system:
            yield system
    finally:
        databases.drop(name)


@pytest.fixture(scope="module")
def visit(system: System, chromium: Browser) -> Iterator[Visit]:
    """Open a browser for somebody: `visit()`, `visit(phone=True)`."""
    opened = []

    def open_one(*, phone: bool = False, scripts: bool = True) -> Visitor:
        context = chromium.new_context(
            viewport=PHONE if phone else WIDE, java_script_enabled=scripts, device_scale_factor=2 if phone else 1
        )
        context.set_default_timeout(ANSWER_MILLISECONDS)
        opened.append(context)
        return Visitor(system=system, context=context, page=context.new_page(), axe=tools.axe() if scripts else None)

    yield open_one
    for context in opened:
        context.close()


def _with_clean_redis(servers: Servers) -> Servers:
    """As the fixture `redis_url`, which lives for one test only."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = servers.redis_url if servers.embedded_redis else urlsplit(servers.redis_url)._replace(path=f"/{worker + 1}").geturl()
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return replace(servers, redis_url=url)
