"""The command line: `portcullis <verb>`. See `portcullis --help`."""

import asyncio
import os
import sys

from cyclopts import App

app = App(name="portcullis", help="Make two-factor authentication mandatory for a whole organization.")


@app.command
def migrate(*, member_id_type: str | None = None, organization_id_type: str | None = None) -> None:
    """Install or upgrade the schema `portcullis`."""
    from workers.migrations import migrate as run  # noqa: PLC0415

    url = os.environ.get("DATABASE_URL_DIRECT") or os.environ["DATABASE_URL"]
    sys.stdout.write(run(url, member_id_type=member_id_type, organization_id_type=organization_id_type) + "\n")


@app.command
def conductor() -> None:
    """Run a conductor in the foreground."""
    from workers.conductor import conduct  # noqa: PLC0415
    from workers.main import broker, settings  # noqa: PLC0415

    asyncio.run(conduct(settings, broker))


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
