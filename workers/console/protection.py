"""What every request passes first, whatever it asks for: the right host, for an order the right origin, a bounded size; and headers.

Beside the cookie's `SameSite=Strict` and the token in every form, a browser has to say that an order comes from a page of ours. Pages may
load what we serve and nothing else, run no script but our one file, be framed by nobody, and be kept by nobody.
"""

from http import HTTPStatus
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.console.address import Address

log = structlog.get_logger(__name__)

SAFE: Final = frozenset({"GET", "HEAD"})
LARGEST_FORM: Final = 64 * 1024
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types console"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it browsers say `Origin: null` for our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
HTTPS_ONLY: Final = "max-age=31536000"
STATIC: Final = "/static/"
API: Final = "/api/"
"""Takes tokens and no cookies, so that no page elsewhere can order anything there; it bounds what it reads by itself."""


class Protection:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, *, address: Address) -> None:
        self._app = app
        self._address = address
        self._headers = HEADERS | ({"Strict-Transport-Security": HTTPS_ONLY} if address.origin.startswith("https:") else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        if refused := self._refuse(scope):
            status, name, text = refused
            log.warning("console_refused", why=name, method=scope["method"], path=scope["path"])
            await PlainTextResponse(text, status)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def _refuse(self, scope: Scope) -> tuple[HTTPStatus, str, str] | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._address.hosts:
            # A page elsewhere may have pointed its own name at our address.
            return (
                HTTPStatus.MISDIRECTED_REQUEST,
                "foreign_host",
                f"This console is reached at {self._address.origin}, not under this name.\n",
            )
        if scope["method"] in SAFE or scope["path"].startswith(API):
            return None
        if scope["method"] != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, "method", "The console takes GET and POST.\n"
        if headers.get("origin", "").lower() not in self._address.origins:
            return HTTPStatus.FORBIDDEN, "foreign_origin", "This order did not come from a page of this console. Nothing was done.\n"
        if not _is_small(headers):
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "That is more than any form of ours sends. Nothing was done.\n"
        return None


def _is_small(headers: Headers) -> bool:
    """Browsers always say how long a form is; whoever does not is not one. A body in chunks is as long as it likes, whatever it says."""
    said = headers.get("content-length", "")
    return "transfer-encoding" not in headers and said.isascii() and said.isdigit() and int(said) <= LARGEST_FORM
