"""What dramatiq is started with: `dramatiq workers.main:broker --queues enforce` (or `notify`).

The composition root: settings, logs, broker, actors and resources come together here and nowhere else. Mind the `:broker`: without it
dramatiq starts an empty broker of its own and says that it is ready.
"""

import dramatiq

from jobs.routing import ACTOR_NAMES
from workers.broker import Resources, open_broker
from workers.logs import configure_logs
from workers.runtime import Runtime, StationMiddleware
from workers.settings import Settings

settings = Settings.load()
configure_logs(settings.log_format)
runtime = Runtime(settings)
broker = open_broker(
    redis_url=settings.redis_url.get_secret_value(),
    key_ring=settings.key_ring,
    allowed_actors=ACTOR_NAMES,
    quarantine=runtime.quarantine,
)
dramatiq.set_broker(broker)

from jobs.pipeline import enforce  # noqa: E402 -- actors belong to the broker that is set when they are declared

broker.add_middleware(StationMiddleware(runtime.station))
broker.add_middleware(Resources(lambda: runtime.open(broker)))

__all__ = ["broker", "enforce"]
