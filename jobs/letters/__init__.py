"""The letters: what they say, in which language, and as which bytes.

A letter is a folder of three templates in `email_templates`, a dataclass in `contents` and a catalogue per language. `Composer` turns
an occasion and an addressee into a finished message; the mailer sends it as it is.
"""

from jobs.domain.addresses import Unaddressable
from jobs.letters.branding import Branding, Unbranded
from jobs.letters.composer import Composer
from jobs.letters.occasion import Addressee, Change, Composed, Occasion, Totals, Unreachable

__all__ = ["Addressee", "Branding", "Change", "Composed", "Composer", "Occasion", "Totals", "Unaddressable", "Unbranded", "Unreachable"]
