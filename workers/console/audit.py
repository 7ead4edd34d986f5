"""What people ordered, latest first: who, by which way, on what, why. Rows are only ever added."""

from starlette.requests import Request
from starlette.responses import Response

from jobs.store import steering
from workers.console.doors import viewers
from workers.console.pages import page
from workers.console.runs import read_number

PAGE = 50


@viewers
async def audit(request: Request) -> Response:
    """Show a page of it."""
    before = read_number(request.query_params.get("before"))
    run_id = read_number(request.query_params.get("run"))
    found = await steering.list_actions(request.app.state.pool, run_id=run_id, before=before, limit=PAGE + 1)
    shown = found[:PAGE]
    older = shown[-1].action_id if len(found) > PAGE else None
    return page(request, "audit.html", actions=shown, older=older, is_first=before is None, run_id=run_id)
