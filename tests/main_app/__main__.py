"""Run the reference main app on a loopback port: `python -m tests.main_app`. Its first line says, as JSON, where.

Its tables must be there (`schema.sql`), but with `--demo`: then it loads them, and says whom one can sign in as. Settings come from the
environment, as for every process.
"""

import argparse
import asyncio
import json
import socket
import sys
from dataclasses import asdict
from typing import Any

import uvicorn

from tests.main_app.application import application
from tests.main_app.configuration import Configuration
from tests.main_app.demo import open_doors

HOST = "127.0.0.1"


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.main_app", description="The reference main app, with pages.")
    parser.add_argument("--port", type=int, default=0, help="loopback port to listen on; 0: any free one, which is printed")
    parser.add_argument("--demo", type=int, metavar="ORGANIZATION", help="let people of this seeded organization sign in")
    given = parser.parse_args()
    with socket.create_server((HOST, given.port), backlog=128) as listening:
        configuration = Configuration.load(f"http://{HOST}:{listening.getsockname()[1]}")
        facts: dict[str, Any] = {"url": configuration.app_url}
        if given.demo is not None:
            facts |= asdict(asyncio.run(open_doors(configuration.database_url, given.demo)))
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(application(configuration), log_level="warning", server_header=False)).run(sockets=[listening])


if __name__ == "__main__":
    main()
