"""Sums over what the entries of a run say, to be held against the ledger: no list of members is kept, whatever the size of a run."""

import json
from dataclasses import dataclass, field

from jobs.audit.entries import Entry, records_of
from jobs.domain.verdicts import Verdict


@dataclass(slots=True, kw_only=True)
class Tally:
    """One run's sums. `people` and `ends` are over pseudonyms, so that one member exchanged for another shows too."""

    judged: int = 0
    sessions_ended: int = 0
    people: int = 0
    ends: int = 0
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))

    def add(self, subject: int, sessions_ended: int, *, is_new: bool) -> None:
        """Count one member, or one more change to a member."""
        self.judged += is_new
        self.people += subject if is_new else 0
        self.sessions_ended += sessions_ended
        self.ends += subject * sessions_ended

    def add_entry(self, entry: Entry) -> None:
        """Count what an entry about a batch says.

        Raises:
            ValueError, KeyError: The entry can't be read.
        """
        facts = json.loads(entry.facts)
        for verdict in self.verdicts:
            self.verdicts[verdict] += facts[verdict]
        for record in records_of(entry):
            self.add(record.subject, record.number, is_new=not record.is_revised)
