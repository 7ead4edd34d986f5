"""What a request gets that is not let through. Never stored by a cache: a moment later it may be let through."""

import json
from dataclasses import dataclass

from jobs.client import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer. `phrase` is HTTP's for the status."""

    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


def set_up(location: str, *, method: str, accept: str) -> Reply:
    """Lead a browser to the set-up; tell a program."""
    if method in {"GET", "HEAD"} and "text/html" in accept:
        return Reply(status=303, phrase="See Other", headers=_headers("text/plain", location=location))
    body = json.dumps({"error": Requirement.SECOND_FACTOR_SETUP, "set_up_at": location}).encode()
    return Reply(status=403, phrase="Forbidden", headers=_headers("application/json", length=len(body)), body=body)


def closed() -> Reply:
    """Say that nothing can be served now, because nobody could be asked."""
    body = b"Access can't be checked at the moment. Please try again.\n"
    headers = (*_headers("text/plain", length=len(body)), ("Retry-After", "2"))
    return Reply(status=503, phrase="Service Unavailable", headers=headers, body=body)


def _headers(content_type: str, *, length: int = 0, location: str | None = None) -> tuple[tuple[str, str], ...]:
    always = (("Content-Type", f"{content_type}; charset=utf-8"), ("Content-Length", str(length)), ("Cache-Control", "no-store"))
    return always if location is None else (*always, ("Location", location))
