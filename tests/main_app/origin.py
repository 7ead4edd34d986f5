"""Where a change comes from, in words that its owner recognizes in a letter: "Chrome on Linux", not a user agent."""

from starlette.requests import Request

from jobs.second_factor import Origin

BROWSERS = {"Firefox/": "Firefox", "Edg/": "Edge", "Chrome/": "Chrome", "Safari/": "Safari"}
SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS X": "macOS", "Linux": "Linux"}
"""In this order: an Android says Linux too, and everybody says Safari."""


def origin(request: Request) -> Origin:
    """Return address and device, as far as they are known."""
    agent = request.headers.get("user-agent", "")
    browser, system = _first(BROWSERS, agent), _first(SYSTEMS, agent)
    device = " on ".join(word for word in (browser, system) if word) or None
    return Origin(address=request.client.host if request.client else None, device=device)


def _first(words: dict[str, str], agent: str) -> str | None:
    return next((word for sign, word in words.items() if sign in agent), None)
