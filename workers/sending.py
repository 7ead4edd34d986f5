"""For a main app in Python that asks by message: `enforce.send(organization_id=..., requested_by=...)`.

Needs `REDIS_URL` and `PORTCULLIS_KEYS`, nothing else. Most apps call `portcullis.require_second_factor` in SQL instead: there the
switch is part of the app's own transaction, and Redis needn't be up. A message that Redis loses before a worker took it is lost: look
whether there is a run, and send it again. Not for a process that runs workers: that has `workers.main`.
"""

import dramatiq

from jobs.routing import ACTOR_NAMES
from workers.broker import Quarantined, open_broker
from workers.settings import KeySettings, RedisSettings


class SendingSettings(KeySettings, RedisSettings):
    """What it takes to send a message that workers believe."""


def _refuse(message: Quarantined) -> None:
    raise RuntimeError(f"this process only sends; it must not consume {message.queue}")


settings = SendingSettings.load()
broker = open_broker(
    redis_url=settings.redis_url.get_secret_value(), key_ring=settings.key_ring, allowed_actors=ACTOR_NAMES, quarantine=_refuse
)
dramatiq.set_broker(broker)

from jobs.pipeline import enforce  # noqa: E402 -- actors belong to the broker that is set when they are declared

__all__ = ["broker", "enforce"]
