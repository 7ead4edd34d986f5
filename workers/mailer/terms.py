"""What a connection may be used for: what the relay said about itself, and what we allow ourselves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the relay said in its answer to EHLO."""

    pipelining: bool = False
    size: bool = False
    largest: int = 0
    """RFC 1870: the largest letter it takes, in octets; 0: not said."""
    letters: int = 0
    """RFC 9422 MAILMAX: transactions a connection; 0: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a connection may be used and how long it waits. The waits are RFC 5321 4.5.3.2's."""

    letters: int = 100
    """Letters a connection; 0: as many as one likes."""
    lifetime_seconds: float = 300
    idle_seconds: float = 5
    connect_seconds: float = 60
    """For all of TCP, greeting, TLS, EHLO and AUTH."""
    command_seconds: float = 300
    dot_seconds: float = 600
    quit_seconds: float = 5
