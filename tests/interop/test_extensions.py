"""aiosmtpd with and without what a relay may announce: PIPELINING, SIZE (RFC 1870), SMTPUTF8, LIMITS (RFC 9422)."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from jobs.ports import Scope
from tests.interop.test_relays import a_large, mailer_for
from tests.mailer_parts import send, some_envelopes
from workers.demo.embedded import LOOPBACK, free_port

LETTERS = 60


class Keeper:
    """Announces what it is told, keeps count per session, and refuses what goes beyond a limit."""

    def __init__(self, *announced: str, most: int = 0) -> None:
        self.announced, self.most = announced, most
        self.transactions: Counter[int] = Counter()
        self.recipients: list[str] = []
        self.options: set[str] = set()
        self.refused = 0

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]) -> list[str]:  # noqa: N802 -- theirs
        session.host_name = hostname
        return [responses[0], *(f"250-{word}" for word in self.announced), *responses[1:]]

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 -- theirs
        self.transactions[id(session)] += 1
        self.options |= {option.partition("=")[0] for option in options}
        if self.most and self.transactions[id(session)] > self.most:
            self.refused += 1
            return "421 4.7.0 too many transactions"
        envelope.mail_from = address
        return "250 2.1.0 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 -- theirs
        self.recipients += envelope.rcpt_tos
        return "250 2.0.0 ok"


@contextmanager
def aiosmtpd(keeper: Keeper, **given: Any) -> Iterator[int]:
    controller = Controller(keeper, hostname=LOOPBACK, port=free_port(), **given)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.mark.parametrize(
    "announced",
    [(), ("PIPELINING",), ("LIMITS RCPTMAX=1 RCPTDOMAINMAX=1",), ("PIPELINING", "LIMITS MAILMAX=7 RCPTMAX=1 RCPTDOMAINMAX=1")],
    ids=["nothing", "PIPELINING", "LIMITS for recipients", "PIPELINING and LIMITS"],
)
@pytest.mark.parametrize("given", [{}, {"enable_SMTPUTF8": True}, {"data_size_limit": 0}], ids=["SIZE", "SMTPUTF8", "no SIZE"])
async def test_whatever_is_announced_each_letter_arrives_once(announced: tuple[str, ...], given: dict[str, Any]) -> None:
    keeper = Keeper(*announced)
    with aiosmtpd(keeper, **given) as port:
        mailer = mailer_for(port)
        recorder = await send(mailer, some_envelopes(LETTERS), seconds=30)
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: LETTERS}
    assert Counter(keeper.recipients) == Counter(envelope.recipient for envelope in some_envelopes(LETTERS))
    assert keeper.options <= {"SIZE"}  # nothing else is asked for, as nothing else is needed
    assert ("SIZE" in keeper.options) == (given != {"data_size_limit": 0})


@pytest.mark.parametrize("pipelining", [(), ("PIPELINING",)], ids=["without PIPELINING", "PIPELINING"])
async def test_no_connection_goes_beyond_the_announced_number_of_letters(pipelining: tuple[str, ...]) -> None:
    keeper = Keeper(*pipelining, "LIMITS MAILMAX=3", most=3)
    with aiosmtpd(keeper) as port:
        mailer = mailer_for(port)
        recorder = await send(mailer, some_envelopes(LETTERS), seconds=30)
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: LETTERS}
    assert (keeper.refused, max(keeper.transactions.values())) == (0, 3)


async def test_a_letter_beyond_the_announced_size_is_not_begun() -> None:
    keeper = Keeper("PIPELINING")
    with aiosmtpd(keeper, data_size_limit=20_000) as port:
        mailer = mailer_for(port)
        recorder = await send(mailer, [a_large("big@example.com", 30_000), *some_envelopes(5)])
        await mailer.aclose()
    assert recorder.of("big@example.com").scope is Scope.MESSAGE
    assert (sum(keeper.transactions.values()), len(keeper.recipients)) == (5, 5)
