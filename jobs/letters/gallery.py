"""Show every letter in every language on one page: light, dark, on a phone, and as text. For eyes, before members see them.

The letters are composed and read back as a mail program does, so what is shown is what is sent. The page is one file, needs no network and
runs no script.
"""

import email
import email.policy
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from jobs.domain.letters import LetterKind
from jobs.letters.branding import Branding
from jobs.letters.catalogues import languages
from jobs.letters.composer import Composer
from jobs.letters.samples import write_sample

_DARK = "(prefers-color-scheme: dark)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One letter on the page. `light` and `dark` look so whatever the reader's own screen prefers."""

    kind: str
    language: str
    subject: str
    text: str
    light: str
    dark: str
    size: int


def write_gallery(folder: Path, *, app_url: str = "https://app.northwind.example", branding: Branding | None = None) -> Path:
    """Write `letters.html` into `folder`, which is made if need be, and return its path. Samples stand in for all facts."""
    composer = Composer(
        mail_from="Northwind Security <security@northwind.example>",
        app_url=app_url,
        message_id_key=b"gallery",
        message_id_key_id="gallery",
        run_url="https://ops.northwind.example/runs/{run_id}",
        branding=branding,
    )
    letters = list(_all(composer))
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string((files("jobs.letters") / "gallery.html").read_text("utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "letters.html"
    path.write_text(page.render(letters=letters, largest=max(len(letter.light.encode()) for letter in letters)), "utf-8")
    return path


def _all(composer: Composer) -> Iterator[Shown]:
    for kind in LetterKind:
        for language in sorted(languages()):
            yield _shown(composer, kind, language)


def _shown(composer: Composer, kind: LetterKind, language: str) -> Shown:
    composed = write_sample(composer, kind, language)
    message = email.message_from_bytes(composed.content, policy=email.policy.default)
    text, html = (part.get_content() for part in message.iter_parts())
    return Shown(
        kind=kind,
        language=language,
        subject=message["Subject"],
        text=text,
        light=html.replace(_DARK, "not all"),
        dark=html.replace(_DARK, "all"),
        size=len(composed.content),
    )
