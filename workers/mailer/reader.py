"""Split what a relay sends into replies (RFC 5321 4.2.1).

Bytes may come in any pieces. A reply that is not of this protocol, or has no end, is an error: after it nothing on this connection
can be paired with a command any more.
"""

REPLY_OCTETS = 16_384
"""Far more than any relay says in one reply."""
CODES = {str(code).encode(): code for code in range(200, 600)}
FRAME_OCTETS = len("250-\n")
HYPHEN, AFTER_CODE = ord("-"), frozenset(b" -\r\n")


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
            code = CODES.get(data[start : start + 3])
            if code is None or data[start + 3] not in AFTER_CODE:
                raise GarbledError("what the relay sent is no reply of this protocol")
            text = data[start + 4 : end]
            if data[start + 3] == HYPHEN:
                self._earlier.append(text)
            else:
                whole.append((code, self._joined(text) if self._earlier else text))
            start = end + 1
        self._partial = data[start:]
        if len(self._partial) + sum(len(text) + FRAME_OCTETS for text in self._earlier) > REPLY_OCTETS:
            raise GarbledError("the relay's reply has no end")
        return whole

    def _joined(self, last: bytes) -> bytes:
        text = b"\n".join([*self._earlier, last])
        self._earlier.clear()
        return text
