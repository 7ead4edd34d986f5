"""What protects every page: forms of our own pages only, no scripts or styles but our files, nothing kept by caches."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SENT_ALONG = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",  # a link with a token in it is nobody else's business; forms need their Origin
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}

SAFE = {"GET", "HEAD"}


class Protection:
    """Refuses what another site's page sends, and adds headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SENT_ALONG)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        app = self._app if scope["method"] in SAFE or _is_our_own(scope) else PlainTextResponse("Not from here.", 403)
        await app(scope, receive, protected)


def _is_our_own(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return headers.get("origin") == f"{scope['scheme']}://{headers.get('host')}"
