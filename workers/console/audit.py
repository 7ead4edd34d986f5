"""What people ordered, latest first, and how well the record stands: the last signed checkpoint, and what the auditor found.

Rows of both are only ever added. Whether any was touched all the same is for `portcullis audit verify`, which has the keys.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from jobs.store import steering
from jobs.store.database import Connection
from jobs.store.views import audit as views
from workers.console.doors import viewers
from workers.console.pages import page
from workers.console.runs import read_number

PAGE = 50
LATE = timedelta(minutes=5)
"""The auditor looks every minute."""


@viewers
async def audit(request: Request) -> Response:
    """Show a page of it."""
    before = read_number(request.query_params.get("before"))
    run_id = read_number(request.query_params.get("run"))
    async with request.app.state.pool.acquire() as db:
        found = await steering.list_actions(db, run_id=run_id, before=before, limit=PAGE + 1)
        standing = await _standing(db)
    shown = found[:PAGE]
    older = shown[-1].action_id if len(found) > PAGE else None
    return page(request, "audit.html", actions=shown, older=older, is_first=before is None, run_id=run_id, **standing)


async def _standing(db: Connection) -> dict[str, Any]:
    results = await views.list_results(db)
    looked_at = max((one.looked_at for one in results), default=None)
    return {
        "checkpoint": await views.find_checkpoint(db),
        "results": results,
        "broken": [one for one in results if one.found],
        "looked_at": looked_at,
        "is_late": looked_at is not None and datetime.now(UTC) - looked_at > LATE,
    }
