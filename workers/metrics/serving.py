"""The process behind `portcullis metrics`: one small server, on an address of its own."""

import asyncio
import socket
from contextlib import closing
from types import FrameType

import structlog
import uvicorn

from jobs.store.database import close_pool, open_pool
from workers.broker import LoopWatchdog
from workers.broker.portcullis_broker import connect
from workers.metrics.app import Lookout, metrics_app
from workers.metrics.quota import QuotaSettings
from workers.settings import MetricsSettings

GRACE_SECONDS = 5

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """One that ends well when it is asked to: uvicorn's own raises the signal again and would leave nobody to close anything."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- uvicorn's signature
        """Drain; asked twice, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(settings: MetricsSettings) -> None:
    """Serve until SIGTERM or SIGINT. A database that is away does not end it: that is what it is there to say.

    Raises:
        OSError: The address is taken, or not ours to take.
    """
    host, port = settings.metrics_listens_at
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.create_server((host, port), family=family)) as listening:
        asyncio.run(_serve(settings, listening))


async def _serve(settings: MetricsSettings, listening: socket.socket) -> None:
    watchdog = LoopWatchdog(asyncio.get_running_loop())
    pool = await open_pool(settings.database_url.get_secret_value(), size=2, least=0)
    watchdog.start()
    try:
        with closing(connect(settings.redis_url.get_secret_value())) as client:
            app = metrics_app(Lookout(pool, client, quota=QuotaSettings.load()), backlog_seconds=settings.ready_backlog_seconds)
            server = uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=GRACE_SECONDS
            )
            host, port, *_ = listening.getsockname()
            log.info("metrics_serving", address=f"{host}:{port}")
            await Server(server).serve(sockets=[listening])
            log.info("metrics_stopped")
    finally:
        watchdog.stop()
        await close_pool(pool, seconds=2)
