"""Invent people: names, places, kinds and ways to sign in, in the proportions of a real organization.

The same seed gives the same people. Nothing is kept: a million are invented one after the other.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from random import Random
from typing import TypeVar

from workers.demo.accounts import TRAITS, Account, Letter, Session, Shape
from workers.demo.names import CULTURES, OUTSIDE_DOMAINS, Culture

Word = TypeVar("Word", bound=str)

UNPROTECTED = {Shape.PASSWORD: 74, Shape.STARTED_FACTOR: 10, Shape.MIXED: 14, Shape.TOKEN: 2}
COMPLYING = {Shape.PROTECTED: 50, Shape.MIXED_PROTECTED: 6, Shape.SSO: 36, Shape.INACTIVE: 8}
KINDS = {"employee": 74, "client": 14, "contractor": 12}

REFUSED_IN = 120
"""One in so many has an address that the receiver refuses, one in so many none at all: together below 2 %, as on a well-kept list."""

BESIDES_IN = 12
"""One in so many has a session besides: one that is over, or one for enrolment only."""

CHUNK = 1000

UNACCENTED = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "ı": "i", "ø": "o", "'": ""})  # noqa: RUF001 - a Turkish letter


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """How many people to invent, and how they are to be."""

    size: int
    domain: str
    share_unprotected: float
    sessions_each: int
    first: int = 1
    """Number of the first of them; numbers keep addresses apart."""

    def invent(self, random: Random) -> Iterator[Account]:
        """Yield the people one by one, in no particular order of shape."""
        for start in range(self.first, self.first + self.size, CHUNK):
            count = min(CHUNK, self.first + self.size - start)
            shapes = _draw(random, _shapes(self.share_unprotected), count)
            kinds = _draw(random, KINDS, count)
            cultures = random.choices(CULTURES, [culture.weight for culture in CULTURES], k=count)
            for serial, shape, kind, culture in zip(range(start, start + count), shapes, kinds, cultures, strict=True):
                yield self._account(random, serial, shape, "service" if shape is Shape.TOKEN else kind, culture)

    def _account(self, random: Random, serial: int, shape: Shape, kind: str, culture: Culture) -> Account:
        given, family = random.choice(culture.given), random.choice(culture.family)
        email, letter = self._address(serial, kind, f"{_latin(given)}.{_latin(family)}.{serial:x}")
        return Account(
            shape=shape,
            name=_full_name(given, family, family_first=culture.family_first),
            email=email,
            letter=Letter.SUPPRESSED if shape is Shape.INACTIVE else letter,
            kind=kind,
            locale=culture.locale,
            time_zone=culture.time_zone,
            sessions=_sessions(serial, shape, self.sessions_each),
        )

    def _address(self, serial: int, kind: str, local: str) -> tuple[str | None, Letter]:
        domain = self.domain if kind in {"employee", "service"} else OUTSIDE_DOMAINS[serial % len(OUTSIDE_DOMAINS)]
        match serial % REFUSED_IN:
            case 1:
                return f"gone.{local}@{domain}", Letter.REFUSED
            case 2:
                return None, Letter.SUPPRESSED
            case _:
                return f"{local}@{domain}", Letter.ACCEPTED


def _shapes(share_unprotected: float) -> dict[Shape, float]:
    unprotected = {shape: weight * share_unprotected / sum(UNPROTECTED.values()) for shape, weight in UNPROTECTED.items()}
    complying = {shape: weight * (1 - share_unprotected) / sum(COMPLYING.values()) for shape, weight in COMPLYING.items()}
    return unprotected | complying


def _draw(random: Random, weights: Mapping[Word, float], count: int) -> list[Word]:
    return random.choices(list(weights), list(weights.values()), k=count)


@lru_cache(maxsize=4096)
def _latin(word: str) -> str:
    spelling = word.rpartition("/")[2].translate(UNACCENTED)
    return unicodedata.normalize("NFKD", spelling).encode("ascii", "ignore").decode().lower()


def _full_name(given: str, family: str, *, family_first: bool) -> str:
    given, family = given.partition("/")[0], family.partition("/")[0]
    return f"{family} {given}" if family_first else f"{given} {family}"


@lru_cache(maxsize=4096)
def _turn(shape: Shape, start: int, count: int) -> tuple[Session, ...]:
    return tuple(islice(cycle(TRAITS[shape].sessions), start, start + count))


def _sessions(serial: int, shape: Shape, each: int) -> tuple[Session, ...]:
    traits = TRAITS[shape]
    regular = _turn(shape, serial % len(traits.sessions), each)
    return regular if serial % BESIDES_IN else regular + traits.besides
