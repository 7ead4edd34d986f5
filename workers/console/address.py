"""Where people reach the console, and what follows from it: which hosts and origins are ours, and how the cookie is called."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

COOKIE = "__Host-portcullis-console"
"""The prefix has browsers refuse it unless it is Secure, for this host alone and for every path. They count loopback as secure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`hosts` are what the Host header may say, `origins` what Origin may."""

    origin: str
    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, origin: str) -> Self:
        """Return the address of an origin. A loopback one has several names."""
        parts = urlsplit(origin)
        given = parts.netloc
        name = given.removesuffix(f":{parts.port}") if parts.port else given
        port = f":{parts.port}" if parts.port else ""
        names = LOOPBACK_NAMES if name in LOOPBACK_NAMES else (name,)
        hosts = frozenset(f"{one}{port}" for one in names)
        return cls(origin=origin, hosts=hosts, origins=frozenset(f"{parts.scheme}://{host}" for host in hosts))
