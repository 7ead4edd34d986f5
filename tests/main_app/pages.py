"""Make a page of a template. Everything that is filled in is escaped; a variable that is missing is an error."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tests.main_app.configuration import PRODUCT

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """Fill a template; `session` is the visitor's, or `None`."""
    browser = request.scope.get("browser")
    known = {"product": PRODUCT, "session": browser.session if browser else None, "here": request.url.path}
    return HTMLResponse(_TEMPLATES.get_template(template).render(**known, **values), status)
