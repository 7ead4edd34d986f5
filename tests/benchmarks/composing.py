"""What composing a letter costs: filling a mould, once the letter has been encoded, for members from all over the world.

    python -m tests.benchmarks.composing

The mix is that of a run: seven in ten are signed out, the rest already comply; names, languages and zones are the demo's people. The
figure is time of the CPU, so that whatever else the machine does counts little; encoding a letter the first time is told apart.
"""

import gc
import random
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.domain.letters import LetterKind
from jobs.letters import Addressee, Composer
from jobs.letters.catalogues import languages
from jobs.letters.samples import DATED, OCCASION, write_sample
from workers.demo.names import CULTURES

MEMBERS = 20_000
ROUNDS = 5
LETTERS_A_SECOND = 500
"""So many share a `Date`."""
SHARES = {LetterKind.SIGNED_OUT: 70, LetterKind.PROTECTED: 20, LetterKind.SINGLE_SIGN_ON: 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Composing:
    """Microseconds of CPU. `fill`: a letter, in the best of the rounds, because neighbours only add; `first`: one yet to be encoded."""

    fill: float
    first: float
    octets: float
    """Of a letter, on average."""


def measure_composing() -> Composing:
    """Return what composing costs. Takes some three seconds."""
    composer = Composer(
        mail_from="Northwind Security <security@northwind.example>",
        app_url="https://app.northwind.example",
        message_id_key=b"k" * 32,
        message_id_key_id="bench",
    )
    members = _members()
    octets = statistics.mean(len(content) for content in (_write(composer, *member) for member in members))  # every mould is cast now
    gc.collect()
    gc.disable()  # a pause of ours is none of a letter's
    try:
        fills = [_fill(composer, members) for _ in range(ROUNDS)]
    finally:
        gc.enable()
    return Composing(fill=min(fills), first=_first(composer), octets=octets)


def _fill(composer: Composer, members: list[tuple[datetime, LetterKind, Addressee]]) -> float:
    begin = time.process_time()
    for member in members:
        _write(composer, *member)
    return 1e6 * (time.process_time() - begin) / len(members)


def _first(composer: Composer) -> float:
    """Templates are compiled by now; what is left is rendering, inlining and encoding, once for everybody who gets the same letter."""
    kinds = [(kind, language) for kind in SHARES for language in sorted(languages())]
    composer._kept.cache_clear()
    begin = time.process_time()
    for kind, language in kinds:
        write_sample(composer, kind, language)
    return 1e6 * (time.process_time() - begin) / len(kinds)


def _write(composer: Composer, dated: datetime, kind: LetterKind, addressee: Addressee) -> bytes:
    return composer.compose(kind, OCCASION, addressee, slot="notice", dated=dated).content


def _members() -> list[tuple[datetime, LetterKind, Addressee]]:
    """Return members in the order in which letters leave: those who were signed out first."""
    chance = random.Random(1)
    cultures = chance.choices(CULTURES, [culture.weight for culture in CULTURES], k=MEMBERS)
    kinds = sorted(chance.choices(list(SHARES), list(SHARES.values()), k=MEMBERS), key=list(SHARES).index)
    members = []
    for number, (culture, kind) in enumerate(zip(cultures, kinds, strict=True)):
        given, family = (chance.choice(names).partition("/")[0] for names in (culture.given, culture.family))
        name = f"{family} {given}" if culture.family_first else f"{given} {family}"
        blank = Addressee(member_id=str(100_000 + number), address=f"member{number}@mail{number % 40}.example")
        dated = DATED + timedelta(seconds=number // LETTERS_A_SECOND)
        members.append((dated, kind, blank._replace(display_name=name, locale=culture.locale, time_zone=culture.time_zone)))
    return members


if __name__ == "__main__":
    found = measure_composing()
    sys.stdout.write(
        f"fill {found.fill:.1f} \N{MICRO SIGN}s a letter of {found.octets:,.0f} octets; the first of its kind {found.first:,.0f}\n"
    )
