"""Read the demo's letters back out of the Maildir, as their recipients would."""

from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.parser import BytesHeaderParser, BytesParser
from pathlib import Path

_HEADERS = BytesHeaderParser(policy=policy.compat32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One letter that has arrived: to whom, of which kind (the first word of its Feedback-ID), and where it lies."""

    recipient: str
    kind: str
    path: Path

    def as_text(self) -> str:
        """Return the letter as somebody with a text mail program reads it."""
        letter = BytesParser(policy=policy.default).parsebytes(self.path.read_bytes())
        body = letter.get_body(("plain",))
        head = "\n".join(f"{name}: {letter[name]}" for name in ("From", "To", "Date", "Subject"))
        return f"{head}\n\n{body.get_content().strip() if body else ''}"


def arrived(maildir: Path) -> Iterator[Arrived]:
    """Yield every letter, in the order of arrival; reads headers only."""
    for path in sorted((maildir / "new").iterdir(), key=_number):
        with path.open("rb") as file:
            headers = _HEADERS.parse(file)
        yield Arrived(recipient=str(headers["Delivered-To"]), kind=str(headers["Feedback-ID"]).partition(":")[0], path=path)


def _number(path: Path) -> int:
    return int(path.name.partition("Q")[2].partition(".")[0])
