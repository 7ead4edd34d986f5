"""Words that know how they look in HTML, so that text and HTML share every sentence, and so every translation.

`Hello {{ name }},` is one sentence in both. In text a name is its letters; in HTML it is escaped and isolated, so that a right-to-left
name cannot reorder the sentence around it: with `<bdi>`, and with `dir` around it, because Gmail, Outlook and Yahoo drop the one and keep
the other. An address becomes a link that shows where it leads.
"""

from markupsafe import Markup


class Name(str):
    """A cleaned name of a person, an organization or a kind of account."""

    __slots__ = ()

    def __html__(self) -> str:
        return Markup('<span dir="auto"><bdi>{}</bdi></span>').format(str(self))


class Link(str):
    """A checked web address, shown in full. `bare` is for a button's `href`."""

    __slots__ = ()

    @property
    def bare(self) -> str:
        """The address alone."""
        return str(self)

    def __html__(self) -> str:
        return Markup('<a href="{0}" dir="ltr">{0}</a>').format(str(self))


class Mailbox(str):
    """A checked e-mail address: always left to right."""

    __slots__ = ()

    def __html__(self) -> str:
        return Markup('<span dir="ltr">{}</span>').format(str(self))
