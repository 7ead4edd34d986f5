"""Drive mail transactions over one connection that is already set up: RFC 5321, with RFC 2920's pipelining where advertised.

    idle -> [RSET] -> MAIL -> RCPT -> DATA -> content and final dot -> idle

With pipelining MAIL, RCPT and DATA leave in one write, and the next letter's ride right behind this letter's final dot, so a letter
costs one round trip. At most two letters have begun and are unanswered: one whose dot is written, one whose content is not.

Only the first of them can ever be in doubt. Whatever breaks the order of commands and replies (a lost connection, a timeout, a
reply nobody asked for, a cancelled call) closes the connection: nothing may ever be read as the answer to something else.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from jobs.failpoints import reach
from jobs.ports import Envelope, Receipt, Scope, SmtpStage
from workers.mailer import replies, wire
from workers.mailer.alarm import Alarm
from workers.mailer.reader import GarbledError, ReplyReader
from workers.mailer.terms import Capabilities, Terms
from workers.mailer.waves import Letter, Wave, unsent

Expect = Callable[[int, bytes], None]
"""Takes the next reply: code and text."""

START_INPUT = 354
CLOSING = 421
OK, INTERMEDIATE, REFUSED = 200, 300, 400
"""Success is what lies between the first two; spelled out where every letter passes, a call less."""
UNLIMITED = -1


class Exchange(Protocol):
    """Where a connection gets its letters from and reports to. None of these may call back into the connection at once."""

    def next_letter(self) -> Letter | None:
        """Return the next letter to begin; `None`: none now."""

    def hungry(self, connection: "Transactions") -> None:
        """Note that the connection could begin a letter and found none; it wants a `kick` when there is one."""

    def answered(self, letter: Letter, receipt: Receipt) -> None:
        """Take a letter's final receipt."""

    def returned(self, letter: Letter, receipt: Receipt, *, again: bool) -> bool:
        """Take back a letter that the relay has surely not taken; `again`: another connection may try it at once. Says if one will."""

    def troubled(self, receipt: Receipt) -> None:
        """Note that the relay itself has trouble, though the connection stands."""

    def lost(self, connection: "Transactions", failure: Receipt | None) -> None:
        """Note that the connection is gone; `None`: as planned."""


class Transactions(asyncio.Protocol):
    """One connection's transactions. Everything happens in the transport's callbacks: no task and no coroutine a letter.

    `seasoned` says whether a letter was answered here: a loss is then the end of a connection, not a sign that the relay is away.
    """

    def __init__(self, transport: asyncio.Transport, exchange: Exchange, able: Capabilities, terms: Terms) -> None:
        self.seasoned = False
        self._transport = transport
        self._exchange = exchange
        self._able = able
        self._terms = terms
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._current: Letter | None = None  # begun, its content not written
        self._dotted: Letter | None = None  # its final dot is written and not answered
        self._refused = False  # `current` has its answer; the rest of its group is only read
        self._reset_first = False
        self._retiring = False
        self._leaving = False  # QUIT is written
        self._doomed = False  # closes as soon as `dotted` is answered
        self._closed = False
        self._left = min((limit for limit in (terms.letters, able.letters) if limit), default=UNLIMITED)
        self._retire_at = self._loop.time() + terms.lifetime_seconds
        self._expect: Expect = self._nothing
        self._alarm = Alarm(self._loop, self._overdue, terms.idle_seconds)

    # What the pool asks for.

    def start(self) -> None:
        """Take the transport over and begin, if there is a letter."""
        self._transport.set_protocol(self)
        self.kick()

    def kick(self) -> None:
        """Begin the next letter, if there is one and this connection is free for it."""
        if self._closed or self._current is not None or (self._dotted is not None and not self._able.pipelining):
            return
        self._current = self._next()
        if self._current is None:
            return
        self._transport.write(self._opening(self._current))
        if self._dotted is None:
            self._await_opening()
            self._set_alarm()

    def retire(self) -> None:
        """Begin no further letter; say QUIT when what is under way is answered."""
        self._retiring = True
        if self._expect == self._nothing:
            self._quit()

    def abandon(self, wave: Wave) -> None:
        """Give up the wave's letters here and close; another wave's letter whose dot is written still gets its answer first."""
        current, dotted = self._current, self._dotted
        if dotted is not None and dotted.wave is wave:
            self._end("the call was cancelled before the final dot was answered", failure=None)
        elif current is not None and current.wave is wave and not self._refused:
            self._doomed = self._refused = True
            self._exchange.answered(current, unsent("the call was cancelled"))
            if dotted is None:
                self._end("the call was cancelled", failure=None)

    def close(self, text: str) -> None:
        """Close at once; `text` says why to a letter that this leaves in doubt."""
        self._end(text, failure=None)

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Answer each reply in its turn."""
        try:
            arrived = self._reader.feed(data)
        except GarbledError as error:
            self._break(str(error))
            return
        for code, text in arrived:
            if self._closed:
                return
            self._expect(code, text)
        if arrived and not self._closed:
            self._set_alarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Settle what is open. An idle or leaving connection may go without blame."""
        if self._current is None and self._dotted is None:
            self._end("", failure=None)
        else:
            self._break(f"the connection was lost: {exc}" if exc else "the relay closed the connection")

    # Replies, one function a stage.

    def _nothing(self, code: int, _text: bytes) -> None:
        if code == CLOSING:
            self._end("", failure=None)
        else:
            self._break("the relay answered what nobody asked")

    def _reset(self, code: int, _text: bytes) -> None:
        if not OK <= code < INTERMEDIATE or self._current is None:
            self._break("the relay refused RSET")
            return
        self._reset_first = False
        self._expect = self._mail
        if not self._able.pipelining:
            self._transport.write(wire.mail(self._current.envelope, with_size=self._able.size))

    def _mail(self, code: int, text: bytes) -> None:
        if not OK <= code < INTERMEDIATE:
            self._judge(SmtpStage.MAIL, code, text)
        self._step(self._rcpt, wire.rcpt)

    def _rcpt(self, code: int, text: bytes) -> None:
        if not OK <= code < INTERMEDIATE:
            self._judge(SmtpStage.RCPT, code, text)
        self._step(self._data, wire.data)

    def _data(self, code: int, text: bytes) -> None:
        if code == START_INPUT and self._refused:
            self._transport.write(wire.FINAL_DOT)  # RFC 2920 3.1: an empty letter to nobody ends what DATA began
            self._expect = self._lone_dot
        elif code == START_INPUT:
            self._write_content()
        elif OK <= code < INTERMEDIATE:
            self._break("the relay's answer to DATA is out of step")
        else:
            self._judge(SmtpStage.DATA, code, text)
            self._advance()

    def _lone_dot(self, code: int, text: bytes) -> None:
        self._judge(SmtpStage.DOT, code, text)
        self._advance()

    def _dot(self, code: int, text: bytes) -> None:
        if INTERMEDIATE <= code < REFUSED:
            self._break("the relay's answer to the final dot is out of step")
            return
        letter, self._dotted = self._dotted, None
        if letter is None:
            return
        if OK <= code < INTERMEDIATE:
            self.seasoned = True
            self._exchange.answered(letter, replies.accepted(replies.parse(code, text)))
        else:
            self._give_back(letter, SmtpStage.DOT, replies.parse(code, text))
        if self._doomed:
            self._end("", failure=None)
        elif self._current is not None:
            self._await_opening()
        elif self._leaving:
            self._expect = self._bye
        else:
            self._advance()

    def _bye(self, _code: int, _text: bytes) -> None:
        self._end("", failure=None)

    # What a reply leads to.

    def _judge(self, stage: SmtpStage, code: int, text: bytes) -> None:
        """Give `current` its answer if this reply refuses it. Once refused, what follows of its group says nothing more, but for 421."""
        if OK <= code < INTERMEDIATE or self._current is None or (self._refused and code != CLOSING):
            return
        reply = replies.parse(code, text)
        if self._refused:
            self._end(reply.text, failure=replies.receipt(stage, reply, Scope.RELAY))
            return
        self._refused = self._reset_first = True
        self._give_back(self._current, stage, reply)

    def _give_back(self, letter: Letter, stage: SmtpStage, reply: replies.Reply) -> None:
        row = replies.rule(stage, reply)
        receipt = replies.receipt(stage, reply, row.scope)
        if row.scope is not Scope.RELAY:
            self.seasoned = True
            self._exchange.answered(letter, receipt)
            return
        tried_again = self._exchange.returned(letter, receipt, again=row.again or (row.close and self.seasoned))
        self._retiring = self._retiring or row.again
        if row.close:
            self._end(reply.text, failure=receipt)
        elif not tried_again:
            self._exchange.troubled(receipt)

    def _step(self, expect: Expect, command: Callable[[Envelope], bytes]) -> None:
        """Go on inside a transaction: with pipelining the next command is long written."""
        if self._closed or self._current is None:
            return
        if self._able.pipelining:
            self._expect = expect
        elif self._refused:
            self._advance()
        else:
            self._transport.write(command(self._current.envelope))
            self._expect = expect

    def _write_content(self) -> None:
        """Write content and dot, and behind them what comes next: another letter's opening, or QUIT (RFC 2920 3.1 allows both)."""
        letter, self._current = self._current, None
        if letter is None:
            return
        self._dotted = letter
        parts = [wire.stuffed(letter.envelope.content), wire.FINAL_DOT]
        if self._able.pipelining:
            self._current = self._next()
            if self._current is not None:
                parts.append(self._opening(self._current))
            elif self._retiring:
                parts.append(wire.QUIT)
                self._leaving = True
        reach("before_content")
        self._transport.write(b"".join(parts))
        reach("after_dot")
        self._expect = self._dot

    def _advance(self) -> None:
        """Begin the next letter, leave, or wait for one."""
        if self._closed:
            return
        self._refused = False
        self._current = self._next()
        if self._current is not None:
            self._transport.write(self._opening(self._current))
            self._await_opening()
        elif self._retiring:
            self._quit()
        else:
            self._expect = self._nothing

    def _next(self) -> Letter | None:
        """Fetch a letter, as long as this connection may be used for one more."""
        if self._left == 0 or self._loop.time() >= self._retire_at:
            self._retiring = True
        while not self._retiring:
            letter = self._exchange.next_letter()
            if letter is None:
                self._exchange.hungry(self)
                return None
            if not self._able.largest or len(letter.envelope.content) <= self._able.largest:
                self._left -= 1
                return letter
            self._exchange.answered(letter, _too_large(letter, self._able.largest))
        return None

    def _opening(self, letter: Letter) -> bytes:
        """Return what begins a transaction: all of it with pipelining, otherwise its first command."""
        reach("before_data")
        reset = wire.RESET if self._reset_first else b""
        if self._able.pipelining:
            return reset + wire.opening(letter.envelope, with_size=self._able.size)
        return reset or wire.mail(letter.envelope, with_size=self._able.size)

    def _await_opening(self) -> None:
        self._expect = self._reset if self._reset_first else self._mail

    def _quit(self) -> None:
        if not self._closed:
            self._transport.write(wire.QUIT)
            self._expect = self._bye
            self._set_alarm()

    # The end, and the clock.

    def _break(self, text: str) -> None:
        self._end(text, failure=Receipt(scope=Scope.RELAY, stage=self._stage(), text=text))

    def _end(self, text: str, *, failure: Receipt | None) -> None:
        """Close and settle what is open. Only a written dot leaves doubt; a letter before its content is surely not taken."""
        if self._closed:
            return
        self._closed = True
        self._alarm.cancel()
        current, dotted = self._current, self._dotted
        self._current = self._dotted = None
        self._transport.abort()  # all that matters is said; a TLS goodbye would only wait for the relay's
        if dotted is not None:
            self._exchange.answered(dotted, Receipt(scope=Scope.UNCERTAIN, stage=SmtpStage.DOT, text=text))
        if current is not None and not self._refused:
            stage = SmtpStage.MAIL if dotted is not None else self._stage()
            again = failure is None or self.seasoned
            self._exchange.returned(current, Receipt(scope=Scope.RELAY, stage=stage, text=text), again=again)
        self._exchange.lost(self, failure)

    def _stage(self) -> SmtpStage:
        expected: dict[Expect, SmtpStage] = {
            self._rcpt: SmtpStage.RCPT,
            self._data: SmtpStage.DATA,
            self._dot: SmtpStage.DOT,
            self._lone_dot: SmtpStage.DOT,
        }
        return expected.get(self._expect, SmtpStage.MAIL)

    def _set_alarm(self) -> None:
        """Move the deadline for the next reply."""
        terms = self._terms
        if self._dotted is not None:
            self._alarm.set(terms.dot_seconds)
        elif self._current is not None:
            self._alarm.set(terms.command_seconds)
        else:
            self._alarm.set(terms.quit_seconds if self._expect == self._bye else terms.idle_seconds)

    def _overdue(self) -> None:
        if self._expect == self._nothing:
            self.retire()
        elif self._expect == self._bye:
            self._end("", failure=None)
        else:
            self._break("the relay did not answer in time")


def _too_large(letter: Letter, largest: int) -> Receipt:
    octets = len(letter.envelope.content)
    return Receipt(scope=Scope.MESSAGE, stage=SmtpStage.MAIL, text=f"the letter has {octets} octets, the relay takes {largest}: not sent")
