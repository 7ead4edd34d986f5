"""The first page: is anything wrong, with what, and what is under way. Understood in a minute by somebody who has just woken up."""

from starlette.requests import Request

from jobs.store.views import queues as queue_views
from jobs.store.views import runs as run_views
from workers.console import budget, state
from workers.console.live import Shown, watched
from workers.console.run import Outlook, outlook

SHOWN_RUNS = 12


@watched
async def overview(request: Request) -> Shown:
    """Show it."""
    seen = await state.look(request)
    async with request.app.state.pool.acquire() as db:
        limits = await budget.read(db, request.app.state.settings)
        lines = await run_views.list_open(db, limit=SHOWN_RUNS)
        runs: list[Outlook] = [await outlook(db, line, limits) for line in lines]
        last_letter = await queue_views.find_last_letter(db)
    relay = ", ".join(limits.relays)
    return Shown(template="overview.html", values={"seen": seen, "runs": runs, "last_letter": last_letter, "relay": relay})
