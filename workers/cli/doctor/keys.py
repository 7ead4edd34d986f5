"""The key ring: how many keys, which one signs, and whether messages came that it can't verify."""

from jobs.keys import KeyRing
from jobs.store import diagnosis
from jobs.store.database import Connection
from workers.broker import Reason
from workers.cli.doctor.findings import Finding, fault, ok, warning
from workers.settings import KeySettings

FOREIGN = (Reason.UNKNOWN_KEY, Reason.BAD_SIGNATURE)


def check(settings: KeySettings) -> list[Finding]:
    """Look at the ring itself."""
    ring = settings.key_ring
    current, *older = (key.id for key in ring.keys)
    also = f"; {', '.join(older)} still verify" if older else ""
    return [ok(f"{len(ring.keys)} in the ring: {current} signs{also}"), *_weak(ring)]


async def check_messages(db: Connection) -> list[Finding]:
    """Look for messages of the last day that somebody signed with another ring."""
    counts = await diagnosis.count_quarantined(db)
    foreign = sum(counts.get(reason, 0) for reason in FOREIGN)
    if not foreign:
        return [ok("no message of the last day was signed with another ring")]
    to_do = (
        "Give every process the same PORTCULLIS_KEYS, and add a new key behind the first one everywhere before it becomes the first."
        " If all of them have it, somebody else writes to your Redis."
    )
    return [warning(f"{foreign:,} messages of the last day were not signed with this ring", to_do)]


def _weak(ring: KeyRing) -> list[Finding]:
    found = []
    if any(len(set(key.secret)) < 16 for key in ring.keys):  # noqa: PLR2004 -- 32 random bytes have fewer once in 10^17
        to_do = "Make one of 32 random bytes: openssl rand -base64 32"
        found.append(fault("a key of the ring is no random number", to_do))
    if len({key.secret for key in ring.keys}) < len(ring.keys):
        to_do = "Give each id a key of its own; a rotation changes the key, not its name."
        found.append(fault("two ids of the ring have the same key", to_do))
    return found
