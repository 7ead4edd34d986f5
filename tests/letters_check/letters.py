"""Every kind of letter in every language, with all facts and with those missing that may be, composed now and read back."""

import email
import email.policy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobs.domain.letters import LetterKind
from jobs.letters import Branding, Composer
from jobs.letters.catalogues import languages
from jobs.letters.samples import write_sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One letter, as bytes and as Python's own parser reads it."""

    kind: LetterKind
    language: str
    sparse: bool
    content: bytes
    subject: str
    text: str
    html: str

    @property
    def name(self) -> str:
        """How findings call it, and the files that hold it."""
        return f"{self.kind}.{self.language}{'.sparse' if self.sparse else ''}"


def every_letter() -> list[Letter]:
    """Dated now: spam filters mind old mail."""
    composer = Composer(
        mail_from="Northwind Security <security@northwind.example>",
        app_url="https://app.northwind.example",
        run_url="https://ops.northwind.example/runs/{run_id}",
        message_id_key=b"letters-check",
        message_id_key_id="check",
        branding=Branding(
            product_name="Northwind", support_address="help@northwind.example", legal_line="Northwind Ltd., 1 Harbour Street, Bristol"
        ),
    )
    now = datetime.now(UTC)
    return [
        _read(kind, language, sparse, write_sample(composer, kind, language, sparse=sparse, dated=now).content)
        for sparse in (False, True)
        for kind in LetterKind
        for language in sorted(languages())
    ]


def full(letters: Sequence[Letter]) -> list[Letter]:
    """Those with all facts."""
    return [letter for letter in letters if not letter.sparse]


def part(letters: Sequence[Letter]) -> list[Letter]:
    """Every kind once and every language at least once: enough to notice a change."""
    tongues = sorted({letter.language for letter in letters})
    kinds = list(dict.fromkeys(letter.kind for letter in letters))
    pairs = {(kinds[at % len(kinds)], tongues[at % len(tongues)]) for at in range(max(len(kinds), len(tongues)))}
    return [letter for letter in full(letters) if (letter.kind, letter.language) in pairs]


def write(letters: Sequence[Letter], folder: Path, suffix: str) -> list[Path]:
    """Write each letter's HTML (`html`) or bytes (`eml`) into a file of its own."""
    paths = []
    for letter in letters:
        path = folder / f"{letter.name}.{suffix}"
        path.write_bytes(letter.content if suffix == "eml" else letter.html.encode())
        paths.append(path)
    return paths


def _read(kind: LetterKind, language: str, sparse: bool, content: bytes) -> Letter:  # noqa: FBT001 -- one of four facts about a letter
    message = email.message_from_bytes(content, policy=email.policy.default)
    text, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    return Letter(kind=kind, language=language, sparse=sparse, content=content, subject=message["Subject"], text=text, html=html)
