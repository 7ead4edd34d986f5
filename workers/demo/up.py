"""`make up`: the demo's system, kept running until Ctrl-C, with what can be opened and tried."""

import asyncio
import shlex
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import asyncpg
from cyclopts import run

from workers.demo.embedded import LOOPBACK, SetupError
from workers.demo.folder import own_folder
from workers.demo.foundation import Foundation, foundation
from workers.demo.pages import Pages, main_app_pages
from workers.demo.people import OrganizationSpec, Seeded, seed
from workers.demo.processes import procfile
from workers.demo.story import NOT_SET_UP, ended_by_sigterm
from workers.demo.telling import Teller

USERS = 2000

TO_TRY = """
{name} (organization {organization}, admin {admin}) has {members:,} members; nothing is required of them yet.
In a second terminal, in this directory:

    set -a; . {settings}; set +a

    {portcullis} preview {organization}
    {portcullis} enforce {organization} --as {admin} --reason 'passwords leaked' --wait
    {portcullis} lift {organization} --as {admin} --reason 'it was a try'

The console, where ops see and steer it, is at {console}; invite yourself:

    {portcullis} operators add me --role operator --reason 'a try'

The main app's side of it, with psql or any other client:

    psql "$DATABASE_URL" -c "select * from app.sign_in({member}, 'password')"
    psql "$DATABASE_URL" -c "select app.confirm_second_factor({member})"
{pages}
Letters arrive in {letters}/new
Ctrl-C ends everything; then the database is gone, the letters stay.

"""

PAGES = """
Or in a browser, all of it: {url}

    the admin:              "Sign in with your company account", {admin}
    an unprotected member:  {member}, password: {password}
"""


async def run_up(*, users: int = USERS) -> int:
    """Run the system with an organization of `users` members until Ctrl-C or SIGTERM, and return the exit code.

    0: it was asked to end. 1: a process of the Procfile ended by itself. 2: it could not be set up.
    """
    try:
        with ended_by_sigterm(), foundation(own_folder("up")) as built:
            return await _keep_running(built, users)
    except asyncio.CancelledError:
        return 0
    except SetupError as fault:
        sys.stderr.write(f"\nThe system could not be set up. {fault}\n")
        return NOT_SET_UP


async def _keep_running(built: Foundation, users: int) -> int:
    connection = await asyncpg.connect(built.database_url)
    try:
        (seeded,) = await seed(connection, OrganizationSpec(members=users))
    finally:
        await connection.close()
    with main_app_pages(built, seeded.organization_id) as pages:
        # Letters lead to the pages, if there are any.
        settings = built.settings | ({"APP_URL": pages.url, "PORTCULLIS_PRODUCT_NAME": "Kestrel"} if pages else {})
        settings["PORTCULLIS_CONSOLE_ADDRESS"] = f"{LOOPBACK}:{_free_port()}"
        with procfile(built.environment | settings, None) as processes:
            Teller().say(_what_to_try(built, seeded, settings, pages))
            await asyncio.to_thread(processes.wait)
    return 1


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as taken:
        return int(taken.getsockname()[1])


def _what_to_try(built: Foundation, seeded: Seeded, settings: Mapping[str, str], pages: Pages | None) -> str:
    file = built.directory / "settings.env"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    return TO_TRY.format(
        name=seeded.name,
        organization=seeded.organization_id,
        admin=seeded.admin_id,
        member=seeded.admin_id + 1,
        members=seeded.members,
        settings=shlex.quote(str(file)),
        console=f"http://{settings['PORTCULLIS_CONSOLE_ADDRESS']}",
        pages=PAGES.format(**asdict(pages)) if pages else "",
        portcullis=shlex.quote(str(Path(sys.executable).parent / "portcullis")),
        letters=built.maildir,
    )


if __name__ == "__main__":
    sys.exit(run(run_up))
