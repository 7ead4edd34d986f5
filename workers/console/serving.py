"""Run the console as a foreground process: the address is taken first, so that a taken one is said in words and port 0 has a number."""

import asyncio
import socket
from types import FrameType
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.applications import Starlette

from workers.console.address import Address
from workers.console.application import application
from workers.logs import configure_logs
from workers.settings import ConfigurationError, Settings

DRAIN_SECONDS = 5
MOST_CONNECTIONS = 500

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """Ends open streams when the process is asked to end, and ends well."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal asks for the end."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- uvicorn's signature
        """Drain; asked twice, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._closing.set)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        ConfigurationError: The address is taken, or not ours; or it listens beyond this machine and no origin is set.
        OSError, asyncpg.PostgresError: The database can't be reached.
    """
    configure_logs(settings.log_format)
    with _listening(settings) as listening:
        address = Address.of(_origin(settings, listening))
        app = application(settings, address)
        log.info("console_started", origin=address.origin)
        Server(configuration(settings, app), app.state.closing).run(sockets=[listening])
        log.info("console_stopped")


def configuration(settings: Settings, app: Starlette) -> uvicorn.Config:
    """Return how the application is served. Whose request it is, only a trusted proxy may say: guesses are counted by address."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


def _listening(settings: Settings) -> socket.socket:
    host, port = settings.listens_at
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = f"PORTCULLIS_CONSOLE_ADDRESS: {settings.console_address} can't be listened at: {error.strerror or error}"
        raise ConfigurationError([reason]) from None


def _origin(settings: Settings, listening: socket.socket) -> str:
    """Return where people reach us; a port of 0 is by now the one that was free."""
    origin = settings.reached_at
    if settings.console_origin or urlsplit(origin).port != 0:
        return origin
    return f"{origin.removesuffix(':0')}:{listening.getsockname()[1]}"
