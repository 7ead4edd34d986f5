"""Whether the invariants hold, found out from the outside: the database, what a relay accepted, and what the test itself did.

Shares no code with Portcullis (asyncpg and the standard library only), so that a mistake there is not repeated here. What a member is,
which letter fits and what a Message-ID must be is worked out again, from the design and not from the code.

    history = History()
    async with Checker.open(url, message_id_key=key) as checker:     # begins to watch which sessions end
        await checker.look(history)                                  # before and after every change to people
        ...
        violations = await checker.check(history, accepted)          # [] or sentences that begin with the invariant's number
"""

import hmac
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from tests import record

Row: TypeAlias = dict[str, Any]

VERDICTS = ("unprotected", "protected", "sso", "exempt", "inactive")
STATES = ("owed", "sending", "deferred", "accepted", "refused", "uncertain", "suppressed", "cancelled")
UNSENT = frozenset({"owed", "sending", "deferred"})
FITTING = {"unprotected": "signed_out", "protected": "protected", "sso": "single_sign_on", "exempt": "exempt"}

SEND_LEASE = timedelta(seconds=60)
UNRECORDED = 250
"""Letters that a mailer may have had accepted and not written down when it is killed, not counting those on its connections."""

WITNESS = """
    CREATE SCHEMA witness;
    CREATE TABLE witness.ended (
        session_id text, member text, organization text, started_with text, by_run boolean,
        transaction_began timestamptz, at timestamptz, xid text
    );
    CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO witness.ended VALUES (
            NEW.session_id::text, NEW.user_id::text, NEW.organization_id::text, NEW.started_with,
            current_setting('application_name') = 'portcullis', now(), clock_timestamp(),
            pg_current_xact_id()::xid::text);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE OF ended_at ON app.sessions
        FOR EACH ROW WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION witness.note();
"""
"""Keeps who ended which session and since when their transaction ran: a decision is never older than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One letter that a relay took the responsibility for. `at` is Unix time; `kind` is what its Feedback-ID says, if that was kept."""

    recipient: str
    message_id: str
    at: float
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What `directory.member` said, and when it was asked: at some moment between `begun` and `ended`, by the database's clock."""

    begun: datetime
    ended: datetime
    facts: Mapping[tuple[str, str], Row]
    """By (organization, member)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A run was cancelled, lifted or superseded, and whoever did it had the answer at `at`."""

    run_id: int
    at: datetime


@dataclass(slots=True, kw_only=True)
class History:
    """What the test did. Times are the database's, taken after the commit.

    `erased` are rows of the ledger as they were before their member was erased. `mailer_crashes` bounds the doubles, by `connections`
    of one mailer. `over` lists runs that must have ended by now. `hints` are numbers of messages seen waiting in Redis, none of which
    may exceed `most_hints`.
    """

    pictures: list[Picture] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    erased: list[Row] = field(default_factory=list)
    mailer_crashes: int = 0
    connections: int = 16
    over: list[int] = field(default_factory=list)
    hints: list[int] = field(default_factory=list)
    most_hints: int = 64

    def stopped_at(self, run_id: int) -> datetime | None:
        """Return when the run was stopped for good, or `None`."""
        return min((stop.at for stop in self.stops if stop.run_id == run_id), default=None)

    def between(self, begun: datetime, ended: datetime) -> list[Picture]:
        """Return the pictures that together show everything that may have been true at a moment of that time."""
        before = [picture for picture in self.pictures if picture.ended <= begun][-1:]
        after = [picture for picture in self.pictures if picture.begun >= ended][:1]
        during = [picture for picture in self.pictures if picture.ended > begun and picture.begun < ended]
        return before + during + after


def verdict_of(fact: Mapping[str, Any], exempt_kinds: Iterable[str] = ()) -> str:
    """Return a member's verdict as design.md's table has it; nulls fail closed."""
    if fact["is_active"] is False:
        return "inactive"
    if fact["has_password"] is False and fact["has_sso"]:
        return "sso"
    if fact["has_second_factor"]:
        return "protected"
    return "exempt" if fact["kind"] in exempt_kinds else "unprotected"


def message_id_key(master: bytes) -> bytes:
    """Derive what signs Message-IDs from a master key: HKDF-SHA-256, RFC 5869, no salt, 32 octets."""
    extracted = hmac.digest(bytes(32), master, "sha256")
    return hmac.digest(extracted, b"portcullis/message-id/v1\x01", "sha256")


def read_log(path: Path) -> list[Accepted]:
    """Read a relay's log, a JSON object a line; what is no field of ours is left out."""
    names = Accepted.__slots__
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Accepted(**{name: value for name, value in json.loads(line).items() if name in names}) for line in lines]


class Checker:
    """Watches one database. What it finds is about the reference main app or any other that keeps the contract."""

    def __init__(self, db: asyncpg.Connection, message_id_key: bytes) -> None:
        self._db = db
        self._key = message_id_key

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, message_id_key: bytes) -> AsyncIterator["Checker"]:
        """Connect, and from now on note which sessions of the reference main app end."""
        db = await asyncpg.connect(url, server_settings={"application_name": "checker"})
        try:
            if not await db.fetchval("SELECT to_regnamespace('witness') IS NOT NULL OR to_regclass('app.sessions') IS NULL"):
                await db.execute(WITNESS)
            yield cls(db, message_id_key)
        finally:
            await db.close()

    async def now(self) -> datetime:
        """Return the database's time."""
        moment: datetime = await self._db.fetchval("SELECT clock_timestamp()")
        return moment

    async def look(self, history: History) -> None:
        """Add a picture of everybody to the history."""
        begun = await self.now()
        rows = await self._rows("SELECT *, organization_id::text AS organization, user_id::text AS member FROM directory.member")
        facts = {(row["organization"], row["member"]): row for row in rows}
        history.pictures.append(Picture(begun=begun, ended=await self.now(), facts=facts))

    async def check(self, history: History, accepted: Sequence[Accepted]) -> list[str]:
        """Return every violation in words, in order of the invariants."""
        evidence = await self.gather(history, accepted)
        return find_violations(evidence) + list(record.violations(evidence))

    async def gather(self, history: History, accepted: Sequence[Accepted]) -> "Evidence":
        """Take a last picture, and read everything that the invariants are about."""
        await self.look(history)
        return Evidence(
            history=history,
            accepted=list(accepted),
            key=self._key,
            runs=await self._rows("SELECT *, organization_id::text AS organization FROM portcullis.run ORDER BY run_id"),
            policies=await self._rows("SELECT *, organization_id::text AS organization FROM portcullis.policy"),
            batches=await self._rows("SELECT * FROM portcullis.batch ORDER BY batch_id"),
            letters=await self._letters(history),
            sessions=await self._rows(
                "SELECT user_id::text AS member, organization_id::text AS organization, started_at, started_with FROM directory.session"
            ),
            ended=await self._ended(),
            entries=await self._rows("SELECT *, facts::text AS told, xmin::text AS xid FROM portcullis.audit_entry ORDER BY entry_id"),
        )

    async def _letters(self, history: History) -> list[Row]:
        """Return the ledger, with what is left of members who were erased, as far as the test remembers who they were."""
        letters = await self._rows("SELECT *, member_id::text AS member FROM portcullis.delivery")
        left = {(row["run_id"], row["slot"], row["subject"]): row for row in await self._rows("SELECT * FROM portcullis.erased")}
        return letters + [row | left.get((row["run_id"], row["slot"], row["subject"]), {}) for row in history.erased]

    async def _ended(self) -> list[Row] | None:
        if await self._db.fetchval("SELECT to_regclass('witness.ended') IS NULL"):
            return None
        return await self._rows("SELECT * FROM witness.ended ORDER BY at")

    async def _rows(self, query: str) -> list[Row]:
        return [dict(row) for row in await self._db.fetch(query)]


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Everything that was found, as it was found. `ended` is `None` where nobody watched sessions end; `entries` are the audit's."""

    history: History
    accepted: list[Accepted]
    key: bytes
    runs: list[Row]
    policies: list[Row]
    batches: list[Row]
    letters: list[Row]
    sessions: list[Row]
    ended: list[Row] | None
    entries: list[Row] = field(default_factory=list)

    def batches_of(self, run: Row, *stages: str) -> list[Row]:
        """Return the batches of a run, of these stages if any are named."""
        return [batch for batch in self.batches if batch["run_id"] == run["run_id"] and (not stages or batch["stage"] in stages)]

    def letters_of(self, run: Row, slot: str) -> list[Row]:
        """Return a run's rows of the ledger."""
        return [letter for letter in self.letters if letter["run_id"] == run["run_id"] and letter["slot"] == slot]

    def verdicts(self, run: Row, member: str, begun: datetime, ended: datetime) -> set[str | None]:
        """Return what the member's verdict may have been between two times; `None`: no member."""
        facts = [picture.facts.get((run["organization"], member)) for picture in self.history.between(begun, ended)]
        return {None if fact is None else verdict_of(fact, run["exempt_kinds"]) for fact in facts}

    def reference(self, letter: Row) -> str:
        """Return what must stand in the letter's Message-ID, between the key's id and the domain."""
        name = f"{letter['run_id']}\0{letter['slot']}\0{letter['member']}"
        return hmac.new(self.key, name.encode(), "sha256").hexdigest()[:32]


def find_violations(evidence: Evidence) -> list[str]:
    """Return every violation, a sentence that begins with the number of the invariant, in their order."""
    return sorted(_violations(evidence), key=lambda line: (int(line[1 : line.index(":")]), line))


def _violations(evidence: Evidence) -> Iterator[str]:
    yield from _sessions_ended_rightly(evidence)
    yield from _done_means_nobody_is_left(evidence)
    yield from _one_letter_each(evidence)
    yield from _no_letter_after_a_stop(evidence)
    yield from _sums_agree(evidence)
    yield from _runs_keep_to_their_organization(evidence)
    yield from _nothing_stale_was_written(evidence)
    yield from _ended_by_themselves(evidence)
    yield from _redis_stays_small(evidence)
    yield from _letters_fit(evidence)


def _sessions_ended_rightly(evidence: Evidence) -> Iterator[str]:
    """I1, I7, I19, and that each ended session is written down (I6)."""
    if evidence.ended is None:
        return
    by_run = [ended for ended in evidence.ended if ended["by_run"]]
    for ended in by_run:
        if objection := _objection(evidence, ended):
            yield f"{objection}: session {ended['session_id']} of member {ended['member']} was ended by a run at {ended['at']}"
    happened = Counter(ended["member"] for ended in by_run)
    written: Counter[str] = Counter()
    for letter in evidence.letters:
        written[letter["member"]] += letter["sessions_ended"]
    for member in sorted(happened.keys() | written.keys()):
        if happened[member] != written[member]:
            yield f"I6: {happened[member]} sessions of member {member} were ended by runs, the ledger says {written[member]}"


def _objection(evidence: Evidence, ended: Row) -> str | None:
    """Say which invariant forbids that a run ended this session; the answer of the run that comes nearest to being allowed to."""
    if ended["started_with"] == "sso":
        return "I1"
    answers = [_objection_to(evidence, run, ended) for run in evidence.runs]
    if None in answers:
        return None
    return max((answer for answer in answers if answer), key=["I7", "I19", "I1"].index, default="I7")


def _objection_to(evidence: Evidence, run: Row, ended: Row) -> str | None:
    if ended["organization"] not in {None, run["organization"]} or ended["at"] < run["requested_at"]:
        return "I7"
    verdicts = evidence.verdicts(run, ended["member"], ended["transaction_began"], ended["at"])
    if verdicts == {None}:
        return "I7"
    stopped_at = evidence.history.stopped_at(run["run_id"])
    if stopped_at is not None and ended["at"] > stopped_at:
        return "I19"
    return None if "unprotected" in verdicts else "I1"


def _done_means_nobody_is_left(evidence: Evidence) -> Iterator[str]:
    """I2: whoever has been unprotected since before the end has no live session from before the end; and everybody was judged."""
    for run in evidence.runs:
        if run["state"] != "done":
            continue
        judged = {letter["member"] for letter in evidence.letters_of(run, "notice")}
        for member in _members_at(evidence, run, run["finished_at"]):
            if member not in judged:
                yield f"I2: run {run['run_id']} is done, but member {member} was never judged"
        for session in evidence.sessions:
            if _must_be_gone(evidence, run, session):
                yield f"I2: run {run['run_id']} is done, but unprotected member {session['member']} kept a session"


def _members_at(evidence: Evidence, run: Row, moment: datetime) -> set[str]:
    """Return who was a member all around that moment."""
    pictures = evidence.history.between(moment, moment)
    everybody = [{member for organization, member in picture.facts if organization == run["organization"]} for picture in pictures]
    return set.intersection(*everybody) if everybody else set()


def _must_be_gone(evidence: Evidence, run: Row, session: Row) -> bool:
    if session["started_with"] == "sso" or session["organization"] not in {None, run["organization"]}:
        return False
    if session["started_at"] >= run["finished_at"]:
        return False
    since = evidence.verdicts(run, session["member"], run["finished_at"], evidence.history.pictures[-1].ended)
    return since == {"unprotected"}


def _one_letter_each(evidence: Evidence) -> Iterator[str]:
    """I4: no letter that nobody owed, no doubles but the ones allowed, and what the ledger says of a letter is what the relay saw."""
    seen: defaultdict[str, list[Accepted]] = defaultdict(list)
    for accepted in evidence.accepted:
        seen[accepted.message_id.partition(".")[2].partition("@")[0]].append(accepted)
    references = {evidence.reference(letter): letter for letter in evidence.letters}
    for reference in seen.keys() - references.keys():
        yield f"I4: a letter that nobody owed was sent to {seen[reference][0].recipient}"
    doubles = 0
    for reference, letter in references.items():
        copies = len(seen[reference])
        extra = max(0, copies - 1 - letter["doubts"])
        doubles += extra
        if extra > evidence.history.mailer_crashes:
            yield f"I4: {_name(letter)} was accepted {copies} times, with {letter['doubts']} answers in doubt"
        yield from _ledger_and_relay_agree(evidence, letter, copies)
    allowed = evidence.history.mailer_crashes * (UNRECORDED + 2 * evidence.history.connections)
    if doubles > allowed:
        yield f"I4: {doubles} letters were sent twice without a doubt, {allowed} may be"


def _ledger_and_relay_agree(evidence: Evidence, letter: Row, copies: int) -> Iterator[str]:
    is_sure = not letter["doubts"] and not evidence.history.mailer_crashes
    if letter["state"] == "accepted" and copies == 0:
        yield f"I4: {_name(letter)} is accepted in the ledger, but no relay has it"
    is_sure = is_sure and not (letter["state"] == "refused" and (letter["reason"] or "").startswith("bounced"))  # taken, and came back
    if letter["state"] in {"refused", "suppressed", "cancelled", "owed", "deferred"} and copies and is_sure:
        yield f"I4: {_name(letter)} is {letter['state']} in the ledger, but a relay accepted it"


def _no_letter_after_a_stop(evidence: Evidence) -> Iterator[str]:
    """I5."""
    references = {evidence.reference(letter): letter for letter in evidence.letters if letter["slot"] != "lifted"}
    for accepted in evidence.accepted:
        letter = references.get(accepted.message_id.partition(".")[2].partition("@")[0])
        stopped_at = letter and evidence.history.stopped_at(letter["run_id"])
        if letter and stopped_at and accepted.at > (stopped_at + SEND_LEASE).timestamp():
            yield f"I5: {_name(letter)} left {accepted.at - stopped_at.timestamp():.0f} s after its run was stopped"


def _sums_agree(evidence: Evidence) -> Iterator[str]:
    """I6, and the counters of batches against the ledger."""
    for run in evidence.runs:
        judging = evidence.batches_of(run, "plan", "enforce")
        sending = evidence.batches_of(run, "notice", "deferred")
        notices = evidence.letters_of(run, "notice")
        members = sum(batch["members"] for batch in judging)
        verdicts = {verdict: sum(batch[verdict] for batch in judging) for verdict in VERDICTS}
        states = {state: sum(batch[state] for batch in sending) for state in STATES}
        for what, total in (("verdicts", sum(verdicts.values())), ("letters", sum(states.values())), ("rows of the ledger", len(notices))):
            if total != members:
                yield f"I6: run {run['run_id']} judged {members} members, but has {total} {what}"
        if verdicts != (counted := _count(VERDICTS, (letter["verdict"] for letter in notices))):
            yield f"I6: run {run['run_id']} counts verdicts {verdicts}, the ledger has {counted}"
        if (ended := sum(batch["sessions_ended"] for batch in judging)) != sum(letter["sessions_ended"] for letter in notices):
            yield f"I6: run {run['run_id']} counts {ended} sessions ended, the ledger has another number"
        yield from _states_agree(evidence, run)
        yield from _done_once(evidence, run)


def _states_agree(evidence: Evidence, run: Row) -> Iterator[str]:
    for slot, stages in (("notice", ("notice", "deferred")), ("report", ("report",)), ("lifted", ("lifted",))):
        batches = evidence.batches_of(run, *stages)
        if any(batch["state"] == "cancelled" and batch["done_at"] is None for batch in batches):
            if not any(batch["state"] in {"open", "dead"} for batch in evidence.batches_of(run, "settle")):
                yield f"I6: run {run['run_id']} was stopped, and nobody settles its {slot} letters"
            continue  # not settled yet: the counters are ahead of the ledger
        counters = {state: sum(batch[state] for batch in batches) for state in STATES}
        ledger = _count(STATES, (letter["state"] for letter in evidence.letters_of(run, slot)))
        if counters != ledger:
            yield f"I6: run {run['run_id']} counts {slot} letters {_short(counters)}, the ledger has {_short(ledger)}"


def _done_once(evidence: Evidence, run: Row) -> Iterator[str]:
    reports = len(evidence.letters_of(run, "report"))
    if run["state"] == "running":
        return
    if run["state"] == "done" and reports != 1 and run["requested_by"] is not None:
        yield f"I6: run {run['run_id']} is done and has {reports} reports"
    if run["state"] == "cancelled" and reports:
        yield f"I6: run {run['run_id']} was cancelled and has a report"
    holding = evidence.batches_of(run, "plan", "enforce", "notice", "finish")
    if held := [batch["batch_id"] for batch in holding if batch["state"] in {"open", "dead"}]:
        yield f"I6: run {run['run_id']} is {run['state']}, but its batches {held} are open or dead"
    trying = {batch["batch_id"] for batch in evidence.batches_of(run, "deferred")}
    for letter in evidence.letters_of(run, "notice") if run["state"] == "done" else ():
        if letter["state"] in UNSENT and not (letter["state"] in {"deferred", "sending"} and letter["batch_id"] in trying):
            yield f"I4: run {run['run_id']} is done, but {_name(letter)} is {letter['state']}"


def _runs_keep_to_their_organization(evidence: Evidence) -> Iterator[str]:
    """I7."""
    for run in evidence.runs:
        everybody = {who for picture in evidence.history.pictures for who in picture.facts}
        ever = {member for organization, member in everybody if organization == run["organization"]}
        for letter in evidence.letters:
            if letter["run_id"] == run["run_id"] and letter["member"] not in ever:
                yield f"I7: {_name(letter)} is for somebody who was never a member of organization {run['organization']}"


def _nothing_stale_was_written(evidence: Evidence) -> Iterator[str]:
    """I8, as far as rows can tell."""
    policies = {policy["organization"]: policy for policy in evidence.policies}
    of_batch = {batch["batch_id"]: batch["run_id"] for batch in evidence.batches}
    for run in evidence.runs:
        policy = policies.get(run["organization"])
        if run["state"] == "running" and (policy is None or not policy["required"] or policy["epoch"] != run["epoch"]):
            yield f"I8: run {run['run_id']} is running under epoch {run['epoch']}, which is not its organization's"
        yield from _stale_writes(evidence, run)
    for letter in evidence.letters:
        if of_batch.get(letter["batch_id"]) != letter["run_id"]:
            yield f"I8: {_name(letter)} is in batch {letter['batch_id']} of another run"


def _stale_writes(evidence: Evidence, run: Row) -> Iterator[str]:
    stopped_at = evidence.history.stopped_at(run["run_id"])
    if stopped_at is None:
        return
    for batch in evidence.batches_of(run, "plan", "enforce", "notice", "deferred", "report", "finish"):
        if batch["state"] == "done" and batch["done_at"] > stopped_at:
            yield f"I8: batch {batch['batch_id']} ({batch['stage']}) of run {run['run_id']} was done after the run was stopped"
    for letter in evidence.letters:
        is_of_it = letter["run_id"] == run["run_id"] and letter["slot"] != "lifted"
        if is_of_it and letter["first_tried_at"] and letter["first_tried_at"] > stopped_at:
            yield f"I8: {_name(letter)} was begun after its run was stopped"


def _ended_by_themselves(evidence: Evidence) -> Iterator[str]:
    """I10 and I11: whatever was flushed or killed, the run has ended."""
    for run in evidence.runs:
        if run["run_id"] in evidence.history.over and run["state"] == "running":
            yield f"I11: run {run['run_id']} has not ended"
    for run_id in set(evidence.history.over) - {run["run_id"] for run in evidence.runs}:
        yield f"I11: run {run_id} is gone"


def _redis_stays_small(evidence: Evidence) -> Iterator[str]:
    """I17, as far as Redis is concerned."""
    most = max(evidence.history.hints, default=0)
    if most > evidence.history.most_hints:
        yield f"I17: {most} hints waited in Redis, {evidence.history.most_hints} may"


def _letters_fit(evidence: Evidence) -> Iterator[str]:
    """I18: the kind was right for the member when it was frozen, and it is the kind that was sent."""
    runs = {run["run_id"]: run for run in evidence.runs}
    sent = defaultdict(set)
    for accepted in evidence.accepted:
        sent[accepted.message_id.partition(".")[2].partition("@")[0]].add(accepted.kind)
    for letter in evidence.letters:
        if letter["first_tried_at"] is None or letter["letter"] is None:
            continue
        kinds = sent[evidence.reference(letter)] - {None}
        if kinds - {letter["letter"]}:
            yield f"I18: {_name(letter)} is {letter['letter']} in the ledger, but {', '.join(map(str, kinds))} was sent"
        if letter["slot"] in {"report", "lifted"} and letter["letter"] != letter["slot"]:
            yield f"I18: {_name(letter)} is of kind {letter['letter']}"
        if letter["slot"] != "notice":
            continue
        moment = letter["first_tried_at"]
        fitting = {FITTING.get(str(verdict)) for verdict in evidence.verdicts(runs[letter["run_id"]], letter["member"], moment, moment)}
        if letter["letter"] not in fitting:
            yield f"I18: {_name(letter)} is {letter['letter']}, which did not fit when it was claimed"


def _name(letter: Row) -> str:
    return f"the {letter['slot']} letter of run {letter['run_id']} to member {letter['member']}"


def _count(names: Sequence[str], found: Iterable[str]) -> dict[str, int]:
    counted = Counter(found)
    return {name: counted[name] for name in names}


def _short(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
