"""One system for the whole module, and browsers for an operator and a viewer. Skipped where there is no Chromium."""

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from playwright.sync_api import Browser, ViewportSize

from tests.browser import tools
from tests.browser.conftest import _with_clean_redis
from tests.browser.console.ground import Ground, standing
from tests.browser.console.watcher import Watcher
from tests.conftest import Databases
from workers.demo.folder import own_folder
from workers.demo.servers import Servers

DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=390, height=780)

Open = Callable[..., Watcher]


@pytest.fixture(scope="module")
def ground(servers: Servers, databases: Databases) -> Iterator[Ground]:
    if tools.chromium() is None:
        pytest.skip("Chromium is not installed; `make browser-test` as root installs it")
    name = databases.create()
    try:
        with standing(own_folder("browser/console"), databases.url_of(name), _with_clean_redis(servers).redis_url) as ground:
            yield ground
    finally:
        databases.drop(name)


@pytest.fixture(scope="module")
def open_browser(ground: Ground, chromium: Browser) -> Iterator[Open]:
    """Open a browser: `open_browser()`, `open_browser(phone=True, dark=True, scripts=False)`."""
    opened = []

    def open_one(*, phone: bool = False, dark: bool = False, scripts: bool = True, zone: str = "Europe/Berlin") -> Watcher:
        context = chromium.new_context(
            viewport=PHONE if phone else DESKTOP,
            device_scale_factor=2 if phone else 1,
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            timezone_id=zone,
        )
        context.set_default_timeout(15_000)
        opened.append(context)
        return Watcher(ground=ground, context=context, page=context.new_page(), axe=tools.axe() if scripts else None)

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture(scope="module")
def mara(open_browser: Open) -> Watcher:
    """An operator, signed in at a desk."""
    watcher = open_browser()
    watcher.set_up("mara", "operator")
    return watcher


def forget_steps(database_url: str) -> None:
    """Let so much time pass that no code of this moment was used."""
    with closing(psycopg.connect(database_url, autocommit=True)) as db:
        db.execute("UPDATE portcullis.operator SET last_step = last_step - 10")
