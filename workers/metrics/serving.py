"""The process behind `portcullis metrics`: one small server, on an address of its own."""

import asyncio
import socket
from contextlib import closing

import uvicorn

from jobs.store.database import close_pool, open_pool
from workers.broker import LoopWatchdog
from workers.broker.portcullis_broker import connect
from workers.metrics.app import Lookout, metrics_app
from workers.settings import MetricsSettings

GRACE_SECONDS = 5


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
            app = metrics_app(Lookout(pool, client), backlog_seconds=settings.ready_backlog_seconds)
            server = uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=GRACE_SECONDS
            )
            await uvicorn.Server(server).serve(sockets=[listening])
    finally:
        watchdog.stop()
        await close_pool(pool, seconds=2)
