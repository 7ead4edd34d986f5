"""Render a letter's three files in one language.

An undefined variable is an error, HTML is escaped, text is not. The style sheet is inlined here, once for everybody who gets the same
letter: mail programs drop what stands in a `<style>`, and what only media queries can say stays there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from babel.numbers import format_decimal
from css_inline import inline
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined, select_autoescape

from jobs.domain.letters import LetterKind
from jobs.letters.catalogues import translations

FILES = ("subject.txt", "body.txt", "body.html")
STYLE = "_base/style.css"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A letter's words. `subject` is one line; `text` and `html` are lines that end in LF."""

    subject: str
    text: str
    html: str


def render(environment: Environment, kind: LetterKind, variables: Mapping[str, object]) -> Rendered:
    """Render the files of a letter. Two milliseconds.

    Raises:
        jinja2.UndefinedError: A template asks for what its letter does not have.
    """
    subject, text, html = (environment.get_template(f"{kind}/{file}").render(variables) for file in FILES)
    style = environment.get_template(STYLE).render(variables)
    inlined = inline(html, extra_css=style, inline_style_tags=False, keep_style_tags=True, load_remote_stylesheets=False, minify_css=True)
    return Rendered(subject=" ".join(subject.split()), text=_tidied(text), html=_tidied(inlined))


@lru_cache(maxsize=128)
def environment(language: str, own: Path | None = None) -> Environment:
    """Return the templates as they speak `language`; files in the folder `own` replace those of the package."""
    loaders = [*([FileSystemLoader(own)] if own else []), PackageLoader("email_templates", "")]
    made = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=select_autoescape(["html"], default=False, default_for_string=False),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_translations(translations(language, own), newstyle=True)  # type: ignore[attr-defined] # added by the extension
    made.filters["number"] = lambda value: format_decimal(value, locale=language.replace("-", "_"))
    return made


def _tidied(text: str) -> str:
    """Drop what template tags leave behind: space at the ends of lines, more than one empty line."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"
