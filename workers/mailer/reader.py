"""Split what a relay sends into replies (RFC 5321 4.2.1).

Bytes may come in any pieces. A reply that is not of this protocol, or has no end, is an error: after it nothing on this connection
can be paired with a command any more.
"""

REPLY_OCTETS = 16_384
"""Far more than any relay says in one reply."""
CODE_DIGITS = 3
FIRST_DIGITS = b"2345"
AFTER_CODE = (b" ", b"\r", b"", b"-")


class GarbledError(Exception):
    """The relay sent what is no reply. The text says what, without repeating it."""


class ReplyReader:
    """Holds what is not yet a whole reply."""

    __slots__ = ("_earlier", "_partial")

    def __init__(self) -> None:
        self._partial = b""
        self._earlier: list[bytes] = []

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the replies that are now whole: code and text, the lines of one reply joined by LF.

        Raises:
            GarbledError: Nothing of `data` can be used.
        """
        if self._partial:
            data = self._partial + data
        whole: list[tuple[int, bytes]] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            start = end + 1
            code = _code(line)
            if line[3:4] == b"-":
                self._earlier.append(line[4:])
            else:
                whole.append((code, self._text(line)))
        self._partial = data[start:]
        if len(self._partial) + sum(map(len, self._earlier)) > REPLY_OCTETS:
            raise GarbledError("the relay's reply has no end")
        return whole

    def _text(self, last: bytes) -> bytes:
        if not self._earlier:
            return last[4:]
        text = b"\n".join([*self._earlier, last[4:]])
        self._earlier.clear()
        return text


def _code(line: bytes) -> int:
    digits = line[:CODE_DIGITS]
    if len(digits) != CODE_DIGITS or not digits.isdigit() or digits[:1] not in FIRST_DIGITS or line[3:4] not in AFTER_CODE:
        raise GarbledError("what the relay sent is no reply of this protocol")
    return int(digits)
