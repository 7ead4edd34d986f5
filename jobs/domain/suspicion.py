"""Which answers of a relay speak against more than one recipient: against the letter, or of a recipient domain that wants none of us."""

import re

from jobs.domain.outcomes import Scope

PERMANENT = 500

OWN_TROUBLE = re.compile(r"gr[ae]y-?list|come back later|try again in \d|mailbox|quota|over limit|disk full", re.IGNORECASE)
"""One recipient's own trouble, or a wait that every stranger has to stand once."""
OWN_CODES = re.compile(r"4\.2\.\d+|4\.1\.\d+|[45]\.2\.2")
POLICY = re.compile(r"5\.7\.\d+")
POLICY_WORDS = re.compile(r"\bspam\b|policy|black-?list|block(ed|-?list)|reputation|denied|rejected due", re.IGNORECASE)


def is_refusal_for_good(scope: Scope, code: int | None) -> bool:
    """Say whether an answer counts against the kind of letter: a dead address, or the letter itself refused, by the relay's own word."""
    return scope in {Scope.RECIPIENT, Scope.MESSAGE} and code is not None and code >= PERMANENT


def speaks_for_domain(scope: Scope, code: int | None, enhanced: str | None, text: str) -> bool:
    """Say whether an answer to one recipient may be what everybody of the domain would get: policy, or "not now" without a reason."""
    if code is None or scope not in {Scope.RECIPIENT_FOR_NOW, Scope.MESSAGE}:
        return False
    if code >= PERMANENT:
        return scope is Scope.MESSAGE and (POLICY.fullmatch(enhanced or "") is not None or POLICY_WORDS.search(text) is not None)
    return OWN_CODES.fullmatch(enhanced or "") is None and OWN_TROUBLE.search(text) is None
