"""Who of a batch may be written to now: what breakers hold back is left out, and the limiter says how many of the rest.

With every limit off and no breaker open nobody is asked, and whoever is next may be written to.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.breakers import Breakers, Hold, domain_of
from jobs.ports import Grant
from jobs.resources import Mail
from jobs.store import deliveries
from jobs.store.batches import Claim
from jobs.store.database import Database
from jobs.store.deliveries import Due
from jobs.store.ids import MemberId

PEEK = 2_000
"""Letters that are looked at and asked for at a time: a whole batch, so that a domain at its limit holds up no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """These members may be written to (`None`: whoever is next), and when more (0: no limit holds anybody back).

    `domains_only`: what is missing waits for its recipient domains' limits alone. `hold`: what a breaker holds back, and why. `relay`:
    through which one, where a limit was asked.
    """

    members: list[MemberId] | None = None
    wait_seconds: float = 0.0
    domains_only: bool = False
    hold: Hold | None = None
    relay: str | None = None


async def ask_leave(db: Database, mail: Mail, claim: Claim) -> Leave:
    """Return who may be written to now, of all that are due in the batch; tokens are taken for them."""
    breakers = mail.breakers
    if mail.limiter.unlimited and not (breakers and breakers.holds_domains):
        return Leave()
    due = await deliveries.peek(db, claim, limit=PEEK)
    if not due:
        return Leave()
    hold = None
    if breakers and breakers.holds_kinds:
        due, hold = _without_held_kinds(breakers, claim, due)
    domains = {member: domain_of(each.address) for member, each in due.items()}
    admitted = demand = Counter(domains.values())
    if breakers and breakers.holds_domains:
        admitted = Counter(await breakers.admit(demand))
        hold = breakers.hold_of_domains(domain for domain, letters in demand.items() if admitted[domain] < letters) or hold
    relay, grant = await _take(mail, claim, +admitted)
    chosen = _choose(domains, grant)
    return Leave(members=chosen, wait_seconds=grant.wait_seconds, domains_only=grant.domains_only, hold=hold, relay=relay)


def _without_held_kinds(breakers: Breakers, claim: Claim, due: Mapping[MemberId, Due]) -> tuple[dict[MemberId, Due], Hold | None]:
    """Leave out those whose kind of letter may not begin: tokens that are taken for them would be lost to others."""
    kinds = {each.letter for each in due.values() if each.letter}
    holds = {kind: hold for kind in kinds if (hold := breakers.hold_of_kinds(claim.run_id, [kind])) and hold.seconds > 0}
    return {member: each for member, each in due.items() if each.letter not in holds}, next(iter(holds.values()), None)


async def _take(mail: Mail, claim: Claim, wanted: Mapping[str, int]) -> tuple[str | None, Grant]:
    """Return the first relay, in their turn, whose limits let something leave; if none do, the shortest wait."""
    if not wanted:
        return None, Grant(letters={}, wait_seconds=0)
    waits: list[Grant] = []
    for relay in mail.mailer.turn():
        grant = await mail.limiter.take(str(claim.organization_id), wanted, relay=relay)
        if any(grant.letters.values()):
            return relay, grant
        waits.append(grant)
    return None, min(waits, key=lambda grant: grant.wait_seconds, default=Grant(letters={}, wait_seconds=1))


def _choose(domains: Mapping[MemberId, str], grant: Grant) -> list[MemberId]:
    left = Counter(grant.letters)
    chosen: list[MemberId] = []
    for member, domain in domains.items():
        if left[domain] > 0:
            left[domain] -= 1
            chosen.append(member)
    return chosen
