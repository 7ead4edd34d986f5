"""A limiter that counts what it holds back: once a question, never by the letter."""

from collections.abc import Mapping

from jobs import instruments
from jobs.ports import Grant, Limiter


class CountedLimiter:
    """The `Limiter` of `jobs.ports` in front of another one."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    @property
    def unlimited(self) -> bool:
        """As the one behind."""
        return self._limiter.unlimited

    async def take(self, organization: str, demand: Mapping[str, int], *, relay: str | None = None) -> Grant:
        """Take from the one behind, and count letters held back and the time that they are told to wait."""
        grant = await self._limiter.take(organization, demand, relay=relay)
        if held_back := sum(demand.values()) - sum(grant.letters.values()):
            instruments.LIMITED_LETTERS.inc(held_back)
            instruments.LIMITER_WAIT.inc(grant.wait_seconds)
        return grant
