"""Make a page of a template. Everything that is filled in is escaped, and a variable that is missing is an error."""

from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from jobs.operators import Role, Session
from workers.console import charts, wording

HERE = Path(__file__).parent
RELEASE = version("portcullis")

NAVIGATION = (
    ("/", "Overview"),
    ("/runs", "Runs"),
    ("/members", "Members"),
    ("/queues", "Queues"),
    ("/dead", "Dead batches"),
    ("/workers", "Workers"),
    ("/limits", "Limits and breakers"),
    ("/reconciler", "Reconciler"),
    ("/audit", "Audit"),
    ("/emergency", "Emergency stop"),
)

_TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "number": wording.number,
    "span": wording.span,
    "masked": wording.masked,
    "said": wording.said,
}
_TEMPLATES.globals |= {
    "share": wording.share,
    "plural": wording.plural,
    "took": wording.took,
    "charts": charts,
    "navigation": NAVIGATION,
    "release": RELEASE,
}
_TEMPLATES.globals["ui"] = _TEMPLATES.get_template("ui.html").module


def page(request: Request, template: str, *, answer: int = 200, **values: Any) -> Response:
    """Fill a template for whoever asks."""
    return HTMLResponse(render(request, template, **values), answer)


def render(request: Request, template: str, **values: Any) -> str:
    """Return a page filled for whoever asks."""
    return _TEMPLATES.get_template(template).render(**_known(request, values))


def render_block(request: Request, template: str, block: str, **values: Any) -> str:
    """Return the part of a page that changes by itself."""
    found = _TEMPLATES.get_template(template)
    return "".join(found.blocks[block](found.new_context(_known(request, values))))


def _known(request: Request, values: dict[str, Any]) -> dict[str, Any]:
    session: Session | None = request.scope.get("operator")
    zone, now = session.time_zone if session else None, datetime.now(UTC)
    known = {
        "session": session if session and session.is_full else None,
        "csrf": session.csrf if session else "",
        "may_act": session is not None and session.is_full and session.role is Role.OPERATOR,
        "here": request.url.path,
        "now": now,
        "moment": partial(wording.moment, zone=zone),
        "ago": partial(wording.ago, now=now),
        "done": request.query_params.get("done", ""),
        "count": request.query_params.get("n", ""),
        "is_live": False,
    }
    return known | values
