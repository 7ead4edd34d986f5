"""Serve one page to a browser on this machine, and to nobody else.

It listens on the loopback address, and answers only who asked for that by name: a page elsewhere that points its own name at 127.0.0.1
gets nothing. The page runs no script and loads nothing; the policy that is sent with it keeps it so.
"""

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"
NAMES = frozenset({HOST, "localhost"})
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page_server(page: Path, port: int) -> ThreadingHTTPServer:
    """Return a server that shows `page` at `/`, bound and not yet serving. `port` 0: any that is free.

    Raises:
        OSError: The port is taken, or not ours to take.
    """

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with the page as it is now."""
            if self.headers.get("Host", "").rpartition(":")[0] not in NAMES:
                self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            elif self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._send(page.read_bytes())

        def _send(self, content: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            for name, value in {**HEADERS, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: somebody is reading the page, not us."""

    return ThreadingHTTPServer((HOST, port), Page)
