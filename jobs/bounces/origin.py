"""Which letter a report is about: by the address that it came to (VERP), else by the Message-ID of the letter that it quotes.

Both prove the letter, and it is found by the ledger's key. The first names the member too. The second, for relays that put a sender of
their own in place of ours, only knows run and address: who has that address at present is tried, so that a report about somebody whose
address has changed since finds nobody.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from jobs.bounces.proofs import Proofs
from jobs.bounces.report import Report, Unusable, Uselessness
from jobs.domain.letters import LetterKind
from jobs.letters.return_paths import SLOTS, ReturnedTo, ReturnPaths
from jobs.store import bounces
from jobs.store.database import Database
from jobs.store.ids import IdTypes, MalformedIdError, MemberId

MESSAGE_ID = re.compile(r"<[A-Za-z0-9_-]{1,16}\.([0-9a-f]{32})@[^<>]+>")
FEEDBACK_ID = re.compile(r"([a-z_]{1,40}):(\d{1,18}):portcullis")
BIGGEST = 2**63
MOST_ADDRESSES = 10
"""Addresses of one report that are looked for; an honest one has two or three."""

FACTOR_SLOTS = frozenset({LetterKind.FACTOR_ADDED, LetterKind.FACTOR_REMOVED, LetterKind.RECOVERY_USED, LetterKind.FACTOR_RESET})
"""Letters with a number of their own instead of a run's; the kind is also the slot."""

SLOTS_OF_KIND: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((LetterKind.SIGNED_OUT, LetterKind.PROTECTED, LetterKind.SINGLE_SIGN_ON, LetterKind.EXEMPT), ("notice",)),
    LetterKind.REPORT: ("report",),
    LetterKind.LIFTED: ("lifted",),
    LetterKind.REMINDER: ("week", "day"),
    **{kind: (kind,) for kind in FACTOR_SLOTS},
}
"""What a Feedback-ID's kind leaves open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One letter, proved. `number`: its run's, or its own if it is about a second factor."""

    number: int
    slot: str
    member: MemberId

    @property
    def is_about_factor(self) -> bool:
        """Whether it belongs to no run."""
        return self.slot in FACTOR_SLOTS


class Origins:
    """Finds letters. `return_paths`: how senders are made up here; `None`: they are not, and every report goes by its quotation."""

    def __init__(self, db: Database, types: IdTypes, proofs: Proofs, return_paths: ReturnPaths | None) -> None:
        self._db, self._types, self._proofs, self._return_paths = db, types, proofs, return_paths

    async def find(self, report: Report) -> Origin:
        """Return the letter that a report is about.

        Raises:
            Unusable: It is about none of ours, can't prove it, or the letter is not in the ledger any more.
        """
        if named := self._named(report.came_to):
            return await self._by_sender(named)
        return await self._by_quotation(report)

    def _named(self, addresses: Iterable[str]) -> ReturnedTo | None:
        if self._return_paths is None:
            return None
        return next((named for address in addresses if (named := self._return_paths.parse(address))), None)

    async def _by_sender(self, named: ReturnedTo) -> Origin:
        if named.number >= BIGGEST:
            raise Unusable(Uselessness.FORGED)
        if named.member is not None:
            return self._proved(named.number, named.slot, [named.member], named.proof)
        members = await bounces.members_by_digest(self._db, named.number, named.slot, named.digest or "")
        if not members:
            raise Unusable(Uselessness.UNKNOWN_LETTER)
        return self._proved(named.number, named.slot, members, named.proof)

    async def _by_quotation(self, report: Report) -> Origin:
        message_id = MESSAGE_ID.fullmatch(report.quoted.message_id)
        feedback_id = FEEDBACK_ID.fullmatch(report.quoted.feedback_id)
        if not message_id or not feedback_id or feedback_id[1] not in SLOTS_OF_KIND:
            raise Unusable(Uselessness.NOT_OURS)
        slots, number = SLOTS_OF_KIND[feedback_id[1]], int(feedback_id[2])
        if feedback_id[1] in FACTOR_SLOTS:
            member = await bounces.member_of_factor_letter(self._db, number, feedback_id[1])
            members = [] if member is None else [member]
        else:
            members = await bounces.members_by_address(self._db, number, report.recipients[:MOST_ADDRESSES])
        if not members:
            raise Unusable(Uselessness.UNKNOWN_LETTER)
        for slot, member in product(slots, members):
            if self._proofs.hold(message_id[1], number=number, slot=slot, member_id=str(member)):
                return Origin(number=number, slot=slot, member=member)
        raise Unusable(Uselessness.FORGED)

    def _proved(self, number: int, slot: str, members: Iterable[object], proof: str) -> Origin:
        for member in members:
            if self._proofs.hold(proof, number=number, slot=slot, member_id=str(member)):
                try:
                    return Origin(number=number, slot=slot, member=self._types.to_member(member))
                except MalformedIdError:
                    raise Unusable(Uselessness.UNKNOWN_LETTER) from None
        raise Unusable(Uselessness.FORGED)


assert SLOTS.keys() == {slot for slots in SLOTS_OF_KIND.values() for slot in slots}  # noqa: S101 -- a new slot must be known here too
