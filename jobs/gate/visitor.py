"""Whose request it is, as the main app's own session says."""

from dataclasses import dataclass

from jobs.client import Id


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody with a live session.

    `organization_id`: the one the request is for; `None`: all of theirs, the strictest wins. `started_with`: how the session was made,
    'password', 'sso', 'token', ...; `None` counts as a password.
    """

    user_id: Id
    organization_id: Id | None = None
    started_with: str | None = None
