"""The conductor, as a foreground process for the Procfile or any supervisor."""

import asyncio

import asyncpg

from jobs.store.database import WEATHER
from workers.cli.explaining import connecting_failed
from workers.conductor import conduct


def conductor() -> None:
    """Run a conductor in the foreground.

    It looks at what is due and publishes hints for the workers. Start at least one, on any machine; of several one leads and the others
    stand by. It drains on SIGTERM. Needs the whole configuration; the README's table lists it.

    ```console
    $ portcullis conductor
    ```
    """
    from workers.main import broker, settings  # noqa: PLC0415 -- reads the environment when it is imported, and may refuse

    try:
        asyncio.run(conduct(settings, broker))
    except (*WEATHER, asyncpg.PostgresError) as error:
        raise connecting_failed(error, settings.database_url.get_secret_value(), "DATABASE_URL") from error


def console() -> None:
    """Serve the console: every run and queue in a browser.

    Listens at PORTCULLIS_CONSOLE_ADDRESS, by default on this machine only; `portcullis operators add` says who may sign in. Start any
    number, anywhere: it keeps nothing. It drains on SIGTERM. Needs the whole configuration; the README's table lists it.

    ```console
    $ portcullis console
    ```
    """
    from workers.console.serving import serve  # noqa: PLC0415 -- templates and a web server are for who serves
    from workers.settings import Settings  # noqa: PLC0415 -- as above

    settings = Settings.load()
    try:
        serve(settings)
    except (*WEATHER, asyncpg.PostgresError) as error:
        raise connecting_failed(error, settings.database_url.get_secret_value(), "DATABASE_URL") from error
