"""smtp-sink with each of its faults: whose matter it is, how many letters are in doubt, and that nothing hangs."""

import pytest

from jobs.ports import Scope
from tests.interop.mail_servers import sink
from tests.interop.test_relays import mailer_for
from tests.mailer_parts import send, some_envelopes
from workers.mailer.terms import Terms

LETTERS = 20
TERMS = Terms(command_seconds=3, dot_seconds=3, connect_seconds=3)

ALL_ACCEPTED, ALL_THE_RELAYS = {Scope.ACCEPTED: LETTERS}, {Scope.RELAY: LETTERS}

FAULTS = {
    "well": ((), ALL_ACCEPTED),
    "without PIPELINING": (("-p",), ALL_ACCEPTED),
    "without ESMTP": (("-e",), ALL_ACCEPTED),
    "without enhanced codes": (("-E",), ALL_ACCEPTED),
    "behind a PIX": (("-P",), ALL_ACCEPTED),
    # Without -p it looks at the DATA behind a slow RCPT first, and says that there was none: a fault of its own.
    "slow at RCPT": (("-p", "-W", "RCPT:1"), ALL_ACCEPTED),
    "slow at DATA": (("-w", "1"), ALL_ACCEPTED),
    "refuses recipients": (("-f", "RCPT", "-B", "550 5.1.1 no such user"), {Scope.RECIPIENT: LETTERS}),
    "refuses recipients for now": (("-r", "RCPT", "-b", "450 4.2.1 later"), {Scope.RECIPIENT_FOR_NOW: LETTERS}),
    "refuses content": (("-f", ".", "-B", "554 5.6.0 no"), {Scope.MESSAGE: LETTERS}),
    "refuses content for now": (("-r", ".", "-b", "451 4.3.0 no"), ALL_THE_RELAYS),
    "refuses senders for now": (("-r", "MAIL"), ALL_THE_RELAYS),
    "refuses DATA": (("-f", "DATA", "-B", "554 5.7.1 policy"), {Scope.MESSAGE: LETTERS}),
    "refuses us": (("-f", "CONNECT", "-B", "554 5.7.1 go away"), ALL_THE_RELAYS),
    "refuses EHLO": (("-f", "EHLO"), ALL_ACCEPTED),
    "421 at MAIL": (("-Q", "MAIL"), ALL_THE_RELAYS),
    "421 at RCPT": (("-Q", "RCPT"), ALL_THE_RELAYS),
    "421 after the dot": (("-Q", "."), ALL_THE_RELAYS),
    "hangs up at greeting": (("-q", "CONNECT"), ALL_THE_RELAYS),
    "hangs up at EHLO": (("-q", "EHLO"), ALL_THE_RELAYS),
    "hangs up at MAIL": (("-q", "MAIL"), ALL_THE_RELAYS),
    "hangs up at RCPT": (("-q", "RCPT"), ALL_THE_RELAYS),
    "hangs up at DATA": (("-q", "DATA"), ALL_THE_RELAYS),
    "too slow at RCPT": (("-p", "-W", "RCPT:30"), ALL_THE_RELAYS),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_is_whose_it_is(name: str) -> None:
    options, expected = FAULTS[name]
    with sink(*options) as port:
        mailer = mailer_for(port, terms=TERMS)
        recorder = await send(mailer, some_envelopes(LETTERS), seconds=20)
        await mailer.aclose(seconds=1)
    assert recorder.scopes() == expected, [receipt for _, receipt in recorder.receipts][:3]


@pytest.mark.parametrize("options", [("-q", "."), ("-q", ".", "-p")], ids=["pipelining", "without"])
async def test_only_letters_whose_dot_was_written_are_in_doubt(options: tuple[str, ...]) -> None:
    with sink(*options) as port:
        mailer = mailer_for(port, terms=TERMS, connections=3)
        recorder = await send(mailer, some_envelopes(LETTERS), seconds=20)
        await mailer.aclose(seconds=1)
    scopes = recorder.scopes()
    assert scopes[Scope.ACCEPTED] == 0
    assert scopes[Scope.UNCERTAIN] >= 1
    assert scopes[Scope.UNCERTAIN] + scopes[Scope.RELAY] + scopes[Scope.UNSENT] == LETTERS
