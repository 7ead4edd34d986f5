"""The reference main app with pages, put together: who it is ─▶ the gate ─▶ a page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from jobs.gate import AsgiGate
from tests.main_app import address, enrolment, home, letters, organization, presence, provider, security, sign_in
from tests.main_app.browsers import Browsers
from tests.main_app.configuration import Configuration
from tests.main_app.doors import SET_UP, visitor
from tests.main_app.pages import page
from tests.main_app.protection import Protection

OPEN = ("/sign-out", "/presence", "/letters", "/static/")
"""Served to somebody who has yet to enrol, besides the set-up itself. Nothing here is worth stealing."""

STATIC = Path(__file__).parent / "static"


def application(configuration: Configuration) -> Starlette:
    """Return the app; it opens its pool of connections when it starts."""
    app: Starlette = Starlette(
        routes=_routes(),
        lifespan=_lifespan,
        exception_handlers={404: _not_found},
        middleware=[
            Middleware(Protection),
            Middleware(Browsers),
            Middleware(AsgiGate, pool=lambda: app.state.pool, identify=visitor, set_up_at=SET_UP, allow=OPEN),
        ],
    )
    app.state.configuration = configuration
    return app


def _routes() -> list[Route | Mount]:
    settings = "/organizations/{organization_id:int}/security"
    return [
        Route("/", home.home),
        Route("/sign-in", sign_in.ask_password, methods=["GET"]),
        Route("/sign-in", sign_in.check_password, methods=["POST"]),
        Route("/sign-in/code", sign_in.ask_code, methods=["GET"]),
        Route("/sign-in/code", sign_in.check_code, methods=["POST"]),
        Route("/sign-in/recovery", sign_in.ask_code, methods=["GET"]),
        Route("/sign-in/recovery", sign_in.check_recovery_code, methods=["POST"]),
        Route("/sign-in/provider", provider.leave_for_provider),
        Route("/sign-in/provider/back", provider.come_back),
        Route("/provider", provider.ask_address, methods=["GET"]),
        Route("/provider", provider.vouch, methods=["POST"]),
        Route("/sign-out", sign_in.sign_out, methods=["POST"]),
        Route("/two-factor", enrolment.start),
        Route("/two-factor/begin", enrolment.start, methods=["GET"]),
        Route("/two-factor/begin", enrolment.show_secret, methods=["POST"]),
        Route("/two-factor/confirm", enrolment.start, methods=["GET"]),
        Route("/two-factor/confirm", enrolment.check_first_code, methods=["POST"]),
        Route("/two-factor/address", enrolment.start, methods=["GET"]),
        Route("/two-factor/address", address.mail_link, methods=["POST"]),
        Route("/two-factor/address/{token}", address.ask_whether, methods=["GET"]),
        Route("/two-factor/address/{token}", address.prove, methods=["POST"]),
        Route("/settings/security", security.security, methods=["GET"]),
        Route("/settings/security", security.take_off, methods=["POST"]),
        Route(settings, organization.organization),
        Route(settings + "/warning", organization.warn),
        Route(settings + "/on", organization.switch_on, methods=["POST"]),
        Route(settings + "/off", organization.switch_off, methods=["POST"]),
        Route(settings + "/progress", organization.progress),
        Route("/letters", letters.genuine),
        Route("/presence", presence.presence),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(app.state.configuration.database_url, min_size=1, max_size=8) as app.state.pool:
        yield


async def _not_found(request: Request, _: Exception) -> Response:
    return page(request, "not_found.html", status=404)
