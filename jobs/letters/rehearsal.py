"""Write every letter once with templates of one's own, before the first member gets one.

Reading templates finds unknown names; only writing letters with them finds `{{ colours.pgae }}`, a filter that does not take what it is
given, or an empty subject. English is enough: what can go wrong in a translation is found when its catalogue is loaded.
"""

import email
import email.policy
from collections.abc import Iterator

from jinja2 import TemplateError

from jobs.domain.letters import LetterKind
from jobs.letters.branding import Branding
from jobs.letters.composer import Composer
from jobs.letters.languages import FALLBACK
from jobs.letters.occasion import Composed
from jobs.letters.samples import write_sample

LARGEST_HTML = 40_000  # octets; some mail programs cut at about 100,000, and names and translations need room


def faults(branding: Branding) -> Iterator[str]:
    """Say what stops a letter, or makes it unfit to be sent: with every fact, and with none of those that may be missing."""
    composer = Composer(
        mail_from="security@example.com",
        app_url="https://app.example.com",
        message_id_key=b"rehearsal",
        message_id_key_id="rehearsal",
        branding=branding,
    )
    for kind in LetterKind:
        found = (_fault(composer, kind, sparse=sparse) for sparse in (False, True))
        if fault := next(filter(None, found), None):
            yield f"{kind}: {fault}"


def _fault(composer: Composer, kind: LetterKind, *, sparse: bool) -> str | None:
    try:
        return _unfit(write_sample(composer, kind, FALLBACK, sparse=sparse))
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:  # whatever an expression can raise
        return f"no letter can be written: {error}"


def _unfit(composed: Composed) -> str | None:
    message = email.message_from_bytes(composed.content, policy=email.policy.default)
    text, html = (part.get_content() for part in message.iter_parts())
    if not message["Subject"]:
        return "the subject is empty"
    if not text.strip() or not html.strip():
        return "the letter is empty"
    if len(html.encode()) > LARGEST_HTML:
        return f"the HTML has {len(html.encode()):,} octets; at most {LARGEST_HTML:,} are shown whole by every mail program"
    return None
