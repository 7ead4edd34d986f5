"""Run the reference main app on a loopback port: `python -m tests.main_app`. Its address is the first line that it prints.

Its tables must be there (`schema.sql`). Settings come from the environment, as for every process.
"""

import argparse
import socket
import sys

import uvicorn

from tests.main_app.application import application
from tests.main_app.configuration import Configuration

HOST = "127.0.0.1"


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.main_app", description="The reference main app, with pages.")
    parser.add_argument("--port", type=int, default=0, help="loopback port to listen on; 0: any free one, which is printed")
    with socket.create_server((HOST, parser.parse_args().port), backlog=128) as listening:
        app_url = f"http://{HOST}:{listening.getsockname()[1]}"
        sys.stdout.write(app_url + "\n")
        sys.stdout.flush()
        server = uvicorn.Server(uvicorn.Config(application(Configuration.load(app_url)), log_level="warning", server_header=False))
        server.run(sockets=[listening])


if __name__ == "__main__":
    main()
