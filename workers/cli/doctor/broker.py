"""Redis or Valkey: reachable, new enough, one node that takes writes, and not evicting. Whether it persists does not matter."""

from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from workers.broker.account import ACCOUNT
from workers.cli.doctor.findings import Finding, fault, ok, warning
from workers.settings import LOOPBACK, RedisSettings

OLDEST = (6, 2)


def open_client(url: str) -> Redis:
    """Return a client that gives up soon. Raises `ValueError` for a URL that it can't read."""
    return Redis.from_url(url, socket_timeout=5, socket_connect_timeout=3)


async def check(settings: RedisSettings) -> list[Finding]:
    """Ask the server about itself."""
    url = settings.redis_url.get_secret_value()
    try:
        async with open_client(url) as client:
            await client.register_script("return 1")()
            said = await _ask(client)
    except (AuthenticationError, ResponseError) as error:
        to_do = f"Correct user and password in REDIS_URL, and let the user do what Portcullis needs: {ACCOUNT}"
        return [fault(f"Redis refuses us: {error}", to_do)]
    except ValueError:
        return [fault("REDIS_URL can't be read", "Write it as redis://user:password@host:6379/0, special characters percent-encoded.")]
    except (RedisError, OSError) as error:
        to_do = "Start it, or correct REDIS_URL. Sessions and letters wait meanwhile; the gate does not."
        return [fault(f"Redis can't be reached: {error}", to_do)]
    return [*said, *_way(url)]


async def _ask(client: Redis) -> list[Finding]:
    try:
        info: dict[str, Any] = await client.info()
    except NoPermissionError:
        to_do = "Let the user of REDIS_URL do +info, or look yourself: 6.2 or newer, one node, maxmemory-policy noeviction."
        return [warning("Redis answers, but not to INFO: version and maxmemory-policy are not known", to_do)]
    return [*_server(info), *_memory(info)]


def _server(info: dict[str, Any]) -> list[Finding]:
    is_valkey = "valkey_version" in info
    name = f"Valkey {info['valkey_version']}" if is_valkey else f"Redis {info['redis_version']}"
    found = [ok(f"{name} answers")]
    if not is_valkey and tuple(int(part) for part in info["redis_version"].split(".")[:2]) < OLDEST:
        found = [fault(f"{name} is too old", "Upgrade it to 6.2 or newer, or use Valkey.")]
    if info.get("cluster_enabled"):
        found.append(fault("it is a cluster", "Use one node (with a replica if you like): hints are few and small."))
    if info.get("role") == "slave":
        found.append(fault("it is a replica and takes no writes", "Point REDIS_URL to the primary."))
    return found


def _memory(info: dict[str, Any]) -> list[Finding]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return [ok("maxmemory-policy is noeviction")]
    to_do = "Set it to noeviction, on a Redis of Portcullis's own: otherwise hints and the counters of the sending limits are evicted."
    if not info.get("maxmemory"):
        return [warning(f"maxmemory-policy is {policy}; without a maxmemory nothing is evicted yet", to_do)]
    return [fault(f"maxmemory-policy is {policy}", to_do)]


def _way(url: str) -> list[Finding]:
    parts = urlsplit(url)
    if parts.scheme == "redis" and parts.hostname not in LOOPBACK:
        return [warning("the way to Redis is not encrypted", "Use rediss:// and a user of its own where it is not on this host.")]
    return []
