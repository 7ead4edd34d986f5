"""What belongs to the operator themselves: signing out, the time zone, other browsers."""

from http import HTTPStatus
from zoneinfo import available_timezones

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobs import operators
from jobs.operators import Session
from workers.console.doors import own_account, viewers
from workers.console.pages import page
from workers.console.refusals import malformed
from workers.console.sign_in import leave

ZONES = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix/", "right/", "SystemV/")))


@viewers
async def account(request: Request) -> Response:
    """Show who is signed in."""
    return page(request, "account.html", zones=ZONES)


@own_account
async def set_time_zone(request: Request, session: Session, form: FormData) -> Response:
    """Keep a time zone."""
    zone = str(form.get("zone", ""))
    if zone not in ("", "UTC") and zone not in ZONES:
        raise malformed("There is no such time zone", back="/account")
    await operators.set_time_zone(request.app.state.pool, session, zone or None)
    return RedirectResponse("/account?done=zone", HTTPStatus.SEE_OTHER)


@own_account
async def end_others(request: Request, session: Session, _: FormData) -> Response:
    """Sign out everywhere else."""
    ended = await operators.end_others(request.app.state.pool, session)
    return RedirectResponse(f"/account?done=others&n={ended}", HTTPStatus.SEE_OTHER)


@own_account
async def sign_out(request: Request, session: Session, _: FormData) -> Response:
    """Sign out here."""
    await operators.end(request.app.state.pool, session)
    return leave(RedirectResponse("/sign-in?why=left", HTTPStatus.SEE_OTHER))
