"""All runs, newest first, page by page: a page begins where the one before ended, so that the last one is as quick as the first."""

from starlette.requests import Request

from jobs.store.database import Connection
from jobs.store.ids import IdTypes, MalformedIdError, OrganizationId
from jobs.store.views import runs as views
from workers.console.live import Shown, watched
from workers.console.refusals import malformed

PAGE = 25
STATES = ("running", "done", "cancelled")


@watched
async def runs(request: Request) -> Shown:
    """Show a page."""
    asked = request.query_params
    state, organization = asked.get("state", ""), asked.get("organization", "").strip()
    if state not in ("", *STATES):
        raise malformed("There is no such state of a run", "Choose one of the list.", back="/runs")
    async with request.app.state.pool.acquire() as db:
        meant = await _organization(db, organization)
        found = await views.list_page(db, before=read_number(asked.get("before")), state=state or None, organization=meant, limit=PAGE + 1)
    shown, more = found[:PAGE], len(found) > PAGE
    values = {
        "runs": shown,
        "state": state,
        "states": STATES,
        "organization": organization,
        "older": shown[-1].run_id if more else None,
        "is_first": "before" not in asked,
    }
    return Shown(template="runs.html", values=values)


def read_number(text: str | None) -> int | None:
    """Return where a page begins; `None`: at the beginning, also for what is no number."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None  # noqa: PLR2004 -- fits into 64 bits


async def _organization(db: Connection, text: str) -> OrganizationId | None:
    if not text:
        return None
    try:
        return (await IdTypes.read(db)).to_organization(text)
    except MalformedIdError as error:
        raise malformed(str(error), "Ids are as the main app has them.", back="/runs") from error
