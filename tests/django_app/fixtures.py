"""The pytest plugin behind these tests: `app` is the project, migrated by Django and then by Portcullis.

Django reads its settings once a process, so a process has one such database.
"""

from collections.abc import Iterator

import django
import psycopg
import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connections
from psycopg.rows import dict_row

from tests.conftest import Databases
from tests.django_app.project import App
from workers.migrations import migrate


@pytest.fixture(scope="session")
def _installed(databases: Databases) -> Iterator[App]:
    name = databases.create()
    url = databases.url_of(name)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", url)
        environment.setenv("DJANGO_SETTINGS_MODULE", "tests.django_app.settings")
        environment.setenv("TZ", "UTC")  # Django sets it
        django.setup()
    call_command("migrate", verbosity=0)
    migrate(url, member_id_type="integer", organization_id_type="bigint")
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as database:
        yield App(url=url, database=database)
    connections.close_all()
    databases.drop(name)


@pytest.fixture
def app(_installed: App) -> Iterator[App]:
    """The project, installed in a database of its own. allauth's rate limits start afresh: every test comes from 127.0.0.1.

    Runs that a test leaves behind are cancelled, or the workers of the next one would carry them out.
    """
    cache.clear()
    yield _installed
    _installed.rows("select portcullis.cancel_run(run_id, 'the test is over') from portcullis.run where state = 'running'")
