"""What one mailer process knows of the breakers for letter kinds and recipient domains, and what it tells them.

The counting is in PostgreSQL, so that all mailers decide together. Here answers are only added up, and told every second, or at once
when something speaks against a letter. What an open breaker holds back stays owed: no attempt of anybody, nothing lost. After a pause a
few letters go out, and their answers close it or make the next pause longer.

A kind of letter is held back everywhere, or in the one run whose first hundred fared badly.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from jobs.domain.letters import LetterKind
from jobs.domain.outcomes import Scope
from jobs.domain.suspicion import is_refusal_for_good, speaks_for_domain
from jobs.ports import Receipt, SmtpStage
from jobs.store import breakers as store
from jobs.store.batches import Stage
from jobs.store.breakers import EVERYWHERE, DomainTally, Rules, Shown, Tally
from jobs.store.database import Database, is_weather

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
GATHER_SECONDS = 0.02
"""How long an answer that matters waits for others to be told with."""
RUNS_KEPT = 1_000
PROBE_SECONDS = 60.0
"""How long a recipient domain is one process's alone to try."""

FIRST_KINDS = {
    Stage.NOTICE: frozenset({LetterKind.SIGNED_OUT, LetterKind.PROTECTED, LetterKind.SINGLE_SIGN_ON, LetterKind.EXEMPT}),
    Stage.DEFERRED: frozenset[LetterKind](),
    Stage.REPORT: frozenset[LetterKind](),
    Stage.LIFTED: frozenset({LetterKind.LIFTED}),
    Stage.WEEK: frozenset({LetterKind.REMINDER}),
    Stage.DAY: frozenset({LetterKind.REMINDER}),
}
"""The kinds of letters of each stage of which a hundred go ahead. What was deferred has gone ahead already, a report is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why letters wait, in words, and the seconds until something is tried again."""

    reason: str
    seconds: float


@dataclass(slots=True)
class _FirstLetters:
    """What is known of a run's canaries: kinds that have one, and those that are not decided, or against, when we last asked."""

    known: set[LetterKind] = field(default_factory=set)
    undecided: set[LetterKind] = field(default_factory=set)
    seen_at: float = 0.0


class Breakers:
    """One a process; `follow` must be running. `holder` names the process."""

    def __init__(self, db: Database, *, holder: str, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.relays: list[Shown] = []
        """What is said of this process's relays; whoever has the mailer looks at it."""
        self._db = db
        self._holder = holder
        self._kinds: dict[tuple[int, LetterKind], Shown] = {}
        self._domains: dict[str, Shown] = {}
        self._probes: dict[str, int] = {}
        self._runs: OrderedDict[int, _FirstLetters] = OrderedDict()
        self._tallies: dict[tuple[int, LetterKind], Tally] = {}
        self._domain_tallies: dict[str, DomainTally] = {}
        self._troubled: set[str] = set()
        self._telling = asyncio.Lock()
        self._stir = asyncio.Event()
        self._looked_at = asyncio.get_running_loop().time()

    # What the recorder says.

    def count(self, run_id: int, kind: LetterKind, recipient: str, receipt: Receipt, *, was_refused: bool) -> None:
        """Add one answer. Accepted letters pass here by the thousand: for them it is two additions."""
        tally = self._tallies.get((run_id, kind))
        if tally is None:
            tally = self._tally(run_id, kind)
        if receipt.scope is Scope.ACCEPTED:
            tally.answered += 1
            tally.first_answered += 1
            if tally.is_awaited:
                self._stir.set()
            if self._troubled:
                self._is_well(recipient)
        else:
            self._count_trouble(tally, recipient, receipt, was_refused=was_refused)

    def returned(self, run_id: int, kind: LetterKind) -> None:
        """Add a letter that was to begin and did not."""
        (self._tallies.get((run_id, kind)) or self._tally(run_id, kind)).returned += 1

    # What the notify stage asks.

    async def mind_canaries(self, run_id: int, stage: Stage) -> bool:
        """Say whether some kind of letter of the run may only begin in part."""
        run = self._runs.get(run_id) or self._runs.setdefault(run_id, _FirstLetters())
        kinds, now = FIRST_KINDS[stage], asyncio.get_running_loop().time()
        if not kinds <= run.known or (run.undecided and now >= run.seen_at + LOOK_SECONDS):
            run.seen_at = now
            run.undecided = set(await store.open_canaries(self._db, run_id, kinds | run.known, self.rules))
            run.known |= kinds
            while len(self._runs) > RUNS_KEPT:
                self._runs.popitem(last=False)
        return bool(run.undecided or self._kinds)

    @property
    def holds_kinds(self) -> bool:
        """Whether the breaker of some kind of letter is open."""
        return bool(self._kinds)

    @property
    def holds_domains(self) -> bool:
        """Whether the breaker of some recipient domain is open."""
        return bool(self._domains)

    def hold_of_kinds(self, run_id: int, kinds: Iterable[LetterKind]) -> Hold | None:
        """Return why letters of these kinds wait in a run; `None`: only for the answers to its first ones."""
        found = [shown for kind in kinds for run in (EVERYWHERE, run_id) if (shown := self._kinds.get((run, kind)))]
        return _hold(found[0], f"letters of the kind {found[0].subject}") if found else None

    def hold_of_domains(self, domains: Iterable[str]) -> Hold | None:
        """Return why letters to these domains wait; `None`: they do not."""
        found = [shown for domain in domains if (shown := self._domains.get(domain))]
        return _hold(min(found, key=lambda shown: shown.retry_in or 0), f"letters to {found[0].subject}") if found else None

    def covers(self, run_id: int, kinds: Iterable[LetterKind], domains: Iterable[str]) -> bool:
        """Say whether what went wrong with letters of these kinds, to these domains, is what an open breaker is about."""
        return all(self.hold_of_kinds(run_id, [kind]) for kind in kinds) or all(domain in self._domains for domain in domains)

    async def admit(self, demand: Mapping[str, int]) -> dict[str, int]:
        """Return how many of the letters wanted for each recipient domain may begin, as far as breakers go."""
        held = [domain for domain in demand if domain in self._domains]
        due = [domain for domain in held if (self._domains[domain].retry_in or 0) <= 0 and not self._probes.get(domain)]
        for domain in await store.probe_domains(self._db, due, seconds=PROBE_SECONDS) if due else ():
            self._probes[domain] = self.rules.domain_probe
        return {domain: min(letters, self._spend_probe(domain, letters)) for domain, letters in demand.items()}

    # The loop.

    async def follow(self, *, seconds: float = LOOK_SECONDS) -> None:
        """Tell and look until cancelled. While PostgreSQL is away, what was known last holds, and nothing counted is forgotten."""
        while True:
            try:
                async with asyncio.timeout(seconds):
                    await self._stir.wait()
                await asyncio.sleep(min(GATHER_SECONDS, seconds))
            except TimeoutError:
                pass
            await self._once(seconds)

    async def tell(self) -> None:
        """Tell what was counted, and take in what is decided by it."""
        async with self._telling:
            self._stir.clear()
            if await self._tell_letters() + await self._tell_domains():
                await self._look()

    async def look(self) -> None:
        """Do what is due, and see what holds letters back now."""
        async with self._telling:
            await self._look()

    async def _look(self) -> None:
        self._looked_at = asyncio.get_running_loop().time()
        if await store.turn(self._db, self.rules):
            await store.wake_held(self._db)
        shown = await store.look(self._db, self._holder)
        self.relays = [each for each in shown if each.scope == "relay"]
        self._kinds = {(_run_of(each.seen_by), LetterKind(each.subject)): each for each in shown if each.scope == "letter"}
        self._domains = {each.subject: each for each in shown if each.scope == "domain"}
        self._troubled |= self._domains.keys()
        self._probes = {domain: left for domain, left in self._probes.items() if domain in self._domains}

    async def _once(self, seconds: float) -> None:
        try:
            await self.tell()
            if asyncio.get_running_loop().time() >= self._looked_at + seconds:
                await self.look()
        except Exception as error:
            if is_weather(error):
                log.debug("breakers_unseen", error=type(error).__name__)
            else:
                log.exception("breakers_unseen")
            await asyncio.sleep(seconds)

    async def _tell_letters(self) -> int:
        told = {key: tally for key, tally in self._tallies.items() if tally.answered or tally.is_awaited}
        self._tallies = {}
        if not told:
            return 0
        try:
            decisions = await store.tally_letters(self._db, dict(sorted(told.items())), self.rules)
        except BaseException:
            for key, tally in told.items():
                self._tallies.setdefault(key, Tally()).add(tally)
            raise
        for decision in decisions:
            run = self._runs.get(decision.run_id)
            if run and decision.state == "passed":
                run.undecided.discard(decision.letter)
            if decision.state == "held":
                log.warning("letter_breaker_opened", kind=str(decision.letter), only_run=decision.run_id or None, cause=decision.cause)
        return len(decisions)

    async def _tell_domains(self) -> int:
        told, self._domain_tallies = self._domain_tallies, {}
        if not told:
            return 0
        try:
            changed = await store.tally_domains(self._db, told, self.rules)
        except BaseException:
            self._domain_tallies = told | self._domain_tallies
            raise
        self._troubled -= {domain for domain, tally in told.items() if tally.is_well and not tally.refusals}
        for domain, state in changed.items():
            self._probes.pop(domain, None)
            log.warning("domain_breaker_changed", domain=domain, state=state)
        if "closed" in changed.values():
            await store.wake_held(self._db)
        return len(changed)

    # Counting.

    def _tally(self, run_id: int, kind: LetterKind) -> Tally:
        run = self._runs.get(run_id)
        is_awaited = (run is not None and kind in run.undecided) or (EVERYWHERE, kind) in self._kinds
        return self._tallies.setdefault((run_id, kind), Tally(is_awaited=is_awaited))

    def _count_trouble(self, tally: Tally, recipient: str, receipt: Receipt, *, was_refused: bool) -> None:
        if receipt.scope in {Scope.RELAY, Scope.UNSENT}:
            tally.returned += 1
            return
        self._stir.set()
        is_refusal = is_refusal_for_good(receipt.scope, receipt.code)
        tally.answered += 1
        tally.refused += is_refusal
        if not was_refused:
            tally.first_answered += 1
            tally.first_refused += is_refusal
        if (
            not was_refused
            and receipt.stage is not SmtpStage.MAIL
            and speaks_for_domain(receipt.scope, receipt.code, receipt.enhanced, receipt.text)
        ):
            domain = domain_of(recipient)
            self._troubled.add(domain)
            self._domain_tallies.setdefault(domain, DomainTally()).refusals += 1

    def _is_well(self, recipient: str) -> None:
        domain = domain_of(recipient)
        if domain in self._troubled:
            self._domain_tallies[domain] = DomainTally(is_well=True)
            self._stir.set()

    def _spend_probe(self, domain: str, letters: int) -> int:
        if domain not in self._domains:
            return letters
        allowed = min(letters, self._probes.get(domain, 0))
        if allowed:
            self._probes[domain] -= allowed
        return allowed


def domain_of(address: str | None) -> str:
    """Return a recipient's domain as limits and breakers count it; whatever has none shares the empty one."""
    return (address or "").rpartition("@")[2].strip().lower()[:255]


def _run_of(seen_by: str) -> int:
    return int(seen_by.removeprefix("run ")) if seen_by else EVERYWHERE


def _hold(shown: Shown, what: str) -> Hold:
    reason = f"held back: {what} wait since {shown.opened_at:%Y-%m-%d %H:%M:%S} UTC, because {shown.cause}"
    return Hold(reason=reason, seconds=max(0.0, shown.retry_in or 0.0))
