"""Settings, Organization security: the switch, the warning before it, how the run goes after it, and the way back.

see ─▶ warned (who is hit) ─▶ switched on ─▶ live progress
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobs import client
from jobs.client import PortcullisError, RunStatus
from tests.main_app.browsers import Session
from tests.main_app.doors import admin
from tests.main_app.impact import impact
from tests.main_app.pages import page
from tests.main_app.presence import FULL

STATE = """
    SELECT coalesce((SELECT required FROM portcullis.policy WHERE organization_id = $1), false) AS is_required,
           portcullis.complies($1, $2) AS may_switch
"""
LATEST_RUN = "SELECT max(run_id) FROM portcullis.run WHERE organization_id = $1"


@admin
async def organization(request: Request, session: Session, name: str) -> Response:
    """Show the switch, and the run behind it if there is one."""
    return await _show(request, session, name)


@admin
async def warn(request: Request, session: Session, name: str) -> Response:
    """Show whom the switch would hit. Nothing happens yet; an admin who would lock themselves out is told to enrol first."""
    organization_id = request.path_params["organization_id"]
    async with request.app.state.pool.acquire() as db:
        state = await db.fetchrow(STATE, organization_id, session.user_id)
        if state["is_required"] or not state["may_switch"]:
            return await _show(request, session, name, is_stopped=not state["may_switch"])
        affected = await impact(db, organization_id)
    return page(request, "warning.html", presence=FULL, name=name, organization_id=organization_id, affected=affected)


@admin
async def switch_on(request: Request, session: Session, name: str) -> Response:
    """Require it; what the dialog said is done by the time of this commit, the rest by the workers."""
    reason = str((await request.form()).get("reason", "")).strip()[:500] or None
    organization_id = request.path_params["organization_id"]
    try:
        async with request.app.state.pool.acquire() as db, db.transaction(isolation="read_committed"):
            await client.require_second_factor(db, organization_id, requested_by=session.user_id, reason=reason)
    except client.NotCompliant:
        return await _show(request, session, name, is_stopped=True)
    return RedirectResponse(request.url_for("organization", organization_id=organization_id), 303)


@admin
async def switch_off(request: Request, session: Session, name: str) -> Response:
    """Require it no more; letters that have not left stay here."""
    organization_id = request.path_params["organization_id"]
    try:
        async with request.app.state.pool.acquire() as db, db.transaction(isolation="read_committed"):
            await client.lift_second_factor(db, organization_id, requested_by=session.user_id, reason=None)
    except PortcullisError as refused:
        return await _show(request, session, name, refusal=refused.message)
    return RedirectResponse(request.url_for("organization", organization_id=organization_id), 303)


@admin
async def progress(request: Request, session: Session, name: str) -> Response:
    """Return the part of the page that moves."""
    return page(request, "progress.html", run=await _latest_run(request))


async def _show(request: Request, session: Session, name: str, *, is_stopped: bool = False, refusal: str | None = None) -> Response:
    organization_id = request.path_params["organization_id"]
    state = await request.app.state.pool.fetchrow(STATE, organization_id, session.user_id)
    return page(
        request,
        "organization.html",
        status=409 if is_stopped or refusal else 200,
        presence=FULL,
        name=name,
        organization_id=organization_id,
        is_required=state["is_required"],
        is_stopped=is_stopped,
        refusal=refusal,
        run=await _latest_run(request),
    )


async def _latest_run(request: Request) -> RunStatus | None:
    async with request.app.state.pool.acquire() as db:
        run_id = await db.fetchval(LATEST_RUN, request.path_params["organization_id"])
        return None if run_id is None else await client.run_status(db, run_id)
