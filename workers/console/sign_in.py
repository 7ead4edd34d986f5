"""Sign in, and set up what one signs in with. The only pages that a stranger sees."""

from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobs import operators
from jobs.operators import PoorPasswordError, Session, SignIn, Started
from jobs.second_factor import qr
from workers.console.address import COOKIE
from workers.console.doors import GONE, LIVE, anybody, beginners, read_form
from workers.console.pages import page
from workers.console.refusals import SignInNeeded

ISSUER = "Portcullis console"
REFUSED = "Name, password or code is wrong, or there were too many attempts and you have to wait. A code works once: take the next one."
NOT_INVITED = "There is no such invitation, it has expired or was used, or there were too many attempts and you have to wait."
WRONG_FIRST_CODE = "That code is wrong, or there were too many attempts and you have to wait. Check the clock of your phone."


@anybody
async def ask(request: Request) -> Response:
    """Ask for name, password and code."""
    if _is_signed_in(request):
        return RedirectResponse(safe_next(request.query_params.get("next")), HTTPStatus.SEE_OTHER)
    return page(
        request, "sign_in.html", next=safe_next(request.query_params.get("next")), why=request.query_params.get("why", ""), fault=""
    )


@anybody
async def check(request: Request) -> Response:
    """Let in, or not."""
    form, state = await read_form(request), request.app.state
    leads_to = safe_next(_text(form, "next"))
    typed = SignIn(name=_text(form, "name"), password=_text(form, "password"), code=_text(form, "code"), address=_address(request))
    started = await operators.sign_in(state.pool, state.keys, typed, lasts=state.session_rules.lasts)
    if started is None:
        return page(request, "sign_in.html", answer=HTTPStatus.FORBIDDEN, next=leads_to, why="", fault=REFUSED)
    return _enter(started, leads_to)


@anybody
async def ask_invitation(request: Request) -> Response:
    """Ask for name and the invitation's code."""
    return page(request, "welcome.html", fault="")


@anybody
async def begin(request: Request) -> Response:
    """Let somebody with an invitation set up what they will sign in with."""
    form, state = await read_form(request), request.app.state
    started = await operators.begin(
        state.pool, state.keys, name=_text(form, "name"), code=_text(form, "invitation"), address=_address(request)
    )
    if started is None:
        return page(request, "welcome.html", answer=HTTPStatus.FORBIDDEN, fault=NOT_INVITED)
    return _enter(started, "/set-up")


@anybody
async def show_secret(request: Request) -> Response:
    """Show what is to be scanned."""
    session: Session | None = request.scope["operator"]
    if session is None or session.is_full:
        return RedirectResponse("/welcome", HTTPStatus.SEE_OTHER)
    return await _show_secret(request, session, fault="")


@beginners
async def set_up(request: Request, session: Session, form: FormData) -> Response:
    """Bind password and second factor, and sign in."""
    state = request.app.state
    try:
        started = await operators.set_up(
            state.pool,
            state.keys,
            session,
            password=_text(form, "password"),
            code=_text(form, "code"),
            lasts=state.session_rules.lasts,
        )
    except PoorPasswordError as poor:
        return await _show_secret(request, session, fault=str(poor))
    return await _show_secret(request, session, fault=WRONG_FIRST_CODE) if started is None else _enter(started, "/")


async def send_away(request: Request, needed: Exception) -> Response:
    """Lead whoever is not signed in to where they can, and afterwards back to the page."""
    assert isinstance(needed, SignInNeeded)  # noqa: S101 -- by registration
    if request.query_params.get(LIVE) and not needed.was_order:
        return Response(GONE, media_type="text/event-stream")
    why = "expired-order" if needed.was_order else "expired" if COOKIE in request.cookies else ""
    wanted = _referring_path(request) if needed.was_order else str(request.url.replace(scheme="", netloc="")) or "/"
    target = str(
        request.url_for("sign-in")
        .include_query_params(next=safe_next(wanted), **({"why": why} if why else {}))
        .replace(scheme="", netloc="")
    )
    return RedirectResponse(target, HTTPStatus.SEE_OTHER)


def safe_next(wanted: str | None) -> str:
    """Return a path of ours with its query, whatever was asked for."""
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or not wanted.isprintable() or "\\" in wanted:
        return "/"
    parts = urlsplit(wanted)
    if parts.scheme or parts.netloc or parts.path.startswith(("/sign-in", "/sign-out", "/welcome", "/set-up")):
        return "/"
    return wanted


def leave(response: Response) -> Response:
    """Take the cookie away."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


def _enter(started: Started, leads_to: str) -> Response:
    response = RedirectResponse(leads_to, HTTPStatus.SEE_OTHER)
    response.set_cookie(COOKIE, started.token, path="/", secure=True, httponly=True, samesite="strict")
    return response


async def _show_secret(request: Request, session: Session, *, fault: str) -> Response:
    state = request.app.state
    begun = await operators.secret_of(state.pool, state.keys, session, issuer=ISSUER)
    if begun is None:
        return RedirectResponse("/welcome", HTTPStatus.SEE_OTHER)
    picture = Markup(qr.svg(begun.uri, "QR code for your authenticator app"))  # noqa: S704 -- drawn here from what we made
    status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK
    return page(request, "set_up.html", answer=status, fault=fault, name=session.name, picture=picture, secret=begun.secret)


def _is_signed_in(request: Request) -> bool:
    session: Session | None = request.scope["operator"]
    return session is not None and session.is_full


def _address(request: Request) -> str:
    """Return where guesses are counted: one machine's address, of IPv6 its network, in which a single subscriber has them all."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.version == 4 or address.ipv4_mapped:  # noqa: PLR2004 -- IPv4
        return host
    return str(IPv6Address(int(address) >> 64 << 64))


def _referring_path(request: Request) -> str:
    parts: Any = urlsplit(request.headers.get("referer", ""))
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _text(form: FormData, name: str) -> str:
    return str(form.get(name, ""))
