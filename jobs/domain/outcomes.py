"""What a relay's answer means for a letter: its next state, and when it is due again."""

from enum import StrEnum
from typing import NamedTuple, assert_never

from jobs.domain.backoff import HOLD, PATIENCE, next_rung, time_spent
from jobs.domain.letters import LetterState

DOUBT_SECONDS = 30.0
"""How long after an answer that never came the letter is sent once more, with the same bytes."""

RELAY_SECONDS = 10.0
"""How long a letter rests, give or take half, that the relay failed at."""

FAULT_SECONDS = 60.0
"""How long a letter, and its batch, rests after the relay refused the letter itself rather than its recipient."""


class Scope(StrEnum):
    """Whose matter a relay's answer is; this decides what happens to the letter."""

    ACCEPTED = "accepted"
    RECIPIENT = "recipient"
    """This address will never take it: refused, the address is suppressed."""
    RECIPIENT_FOR_NOW = "recipient_for_now"
    """This address may take it later: retried on the ladder, for up to 48 hours."""
    MESSAGE = "message"
    """The letter or the sender is at fault: the kind of letter is paused, no recipient is touched."""
    RELAY = "relay"
    """The relay is at fault or away: nobody's attempt."""
    UNSENT = "unsent"
    """Never begun: the deadline came first, or the mailer is draining. Nobody's attempt."""
    UNCERTAIN = "uncertain"
    """The final dot was written and no answer came: the one case of doubt."""


class Outcome(NamedTuple):
    """What is written into the ledger: `seconds` until the letter is due again; attempts and doubts to add."""

    state: LetterState
    reason: str | None = None
    relay_id: str | None = None
    seconds: float = 0.0
    attempts: int = 0
    doubts: int = 0
    suppresses: bool = False
    """Whether the address goes onto the suppression list."""


def settle(  # noqa: PLR0911 -- a table, one line an answer
    scope: Scope, *, attempts: int, doubts: int, luck: float, words: str | None = None, relay_id: str | None = None
) -> Outcome:
    """Return what becomes of a letter that had `attempts` deferrals and `doubts` answers that never came before this one."""
    match scope:
        case Scope.ACCEPTED:
            return Outcome(state=LetterState.ACCEPTED, relay_id=relay_id)
        case Scope.RECIPIENT:
            return Outcome(state=LetterState.REFUSED, reason=words, suppresses=True)
        case Scope.RECIPIENT_FOR_NOW:
            return _deferral(attempts + 1, luck, words)
        case Scope.MESSAGE:
            return Outcome(state=_waiting(attempts), reason=words, seconds=FAULT_SECONDS)
        case Scope.RELAY:
            # Not at once: one letter at which a relay hangs up, or a single 454, opens no breaker and would be tried without a pause.
            return Outcome(state=_waiting(attempts), reason=words, seconds=RELAY_SECONDS * (0.5 + luck))
        case Scope.UNSENT:
            return Outcome(state=_waiting(attempts), reason=words)
        case Scope.UNCERTAIN if doubts == 0:
            return Outcome(state=_waiting(attempts), reason=words, seconds=DOUBT_SECONDS, doubts=1)
        case Scope.UNCERTAIN:
            return Outcome(state=LetterState.UNCERTAIN, reason=words, doubts=1)
        case _:
            assert_never(scope)


def _deferral(failures: int, luck: float, words: str | None) -> Outcome:
    if time_spent(failures) > PATIENCE:
        return Outcome(state=LetterState.REFUSED, reason=words, attempts=1)
    return Outcome(state=_waiting(failures), reason=words, seconds=next_rung(failures, luck), attempts=1)


def _waiting(failures: int) -> LetterState:
    """Return how a letter waits after so many deferrals: what no longer holds the run does not hold it again for another reason."""
    return LetterState.DEFERRED if time_spent(failures) > HOLD else LetterState.OWED
