"""What the exit codes of `portcullis` mean. Scripts rely on them: a number never changes its meaning."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_SET_UP = 4
    UNREACHABLE = 5
    AUDIT_EDITED = 20
    AUDIT_INSERTED = 21
    AUDIT_REORDERED = 22
    AUDIT_MISSING = 23
    AUDIT_CUT_OFF = 24
    AUDIT_NO_CHECKPOINT = 25
    AUDIT_UNKNOWN_KEY = 26
    AUDIT_DISAGREES = 27
    BUG = 70
    TRY_AGAIN = 75
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.REFUSED: "refused and nothing changed; or doctor found something to mend; or the run that was watched was cancelled",
    ExitCode.USAGE: "wrong usage: an unknown verb or option, a malformed id",
    ExitCode.NOT_FOUND: "no such organization, run, batch, worker or breaker",
    ExitCode.NOT_SET_UP: "a variable is missing or malformed, the schema isn't installed or too old, or `directory` lacks something",
    ExitCode.UNREACHABLE: "PostgreSQL, Redis or the relay is away or too busy; try again later",
    ExitCode.AUDIT_EDITED: "the record was touched: an entry, a checkpoint or a certificate is not what was sealed or signed",
    ExitCode.AUDIT_INSERTED: "the record was touched: an entry was put in",
    ExitCode.AUDIT_REORDERED: "the record was touched: entries changed places",
    ExitCode.AUDIT_MISSING: "the record is not whole: an entry or a seal is missing",
    ExitCode.AUDIT_CUT_OFF: "the record is not whole: its end was cut off",
    ExitCode.AUDIT_NO_CHECKPOINT: "the record is not whole: a signed checkpoint is missing",
    ExitCode.AUDIT_UNKNOWN_KEY: "sealed or signed with a key that is not known here",
    ExitCode.AUDIT_DISAGREES: "the record and the ledger disagree",
    ExitCode.BUG: "a fault of Portcullis itself, with a traceback to report",
    ExitCode.TRY_AGAIN: "a message could not be taken now: the mail server keeps it and hands it over again (EX_TEMPFAIL)",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C; what was ordered goes on",
}
"""The table in the help of every verb."""


def table() -> str:
    """Return the meanings as Markdown."""
    return "Exit codes:\n\n" + "\n".join(f"- `{code.value}` {meaning}" for code, meaning in MEANINGS.items())
