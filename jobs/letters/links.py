"""Decide whether a web address that the main app holds may be shown to members as a link.

An organization's support address is typed by its administrators and read by everybody in a letter about security, so only the plain
form passes: https, a DNS name, no user name in front of it, nothing outside of printable ASCII. Anything else is left out.
"""

import re
from urllib.parse import urlsplit

LONGEST = 200  # characters: more cannot be read, let alone checked, by anybody

_SHOWABLE = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:[/?#][!#$%&()*+,./0-9:;=?@A-Z_a-z~\[\]-]*)?")


def safe_https(url: str | None) -> str | None:
    """Return the address if a member may be sent there, else `None`. Never raises."""
    if not url or len(url) > LONGEST or not _SHOWABLE.fullmatch(url):
        return None
    host = urlsplit(url).hostname or ""
    labels = host.split(".")
    proper = len(labels) > 1 and all(label and label[0] != "-" != label[-1] for label in labels) and not labels[-1].isdigit()
    return url if proper else None
