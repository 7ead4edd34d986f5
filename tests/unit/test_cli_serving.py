"""The preview's server: the page, on the loopback address, to whoever asked for it by that name."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.cli.serving import HEADERS, page_server


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server that shows one page."""
    page = tmp_path / "letters.html"
    page.write_text("<h1>ليتر</h1>", "utf-8")
    with page_server(page, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str = "/", host: str | None = None, method: str = "GET") -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_it_listens_on_the_loopback_address_only(tmp_path: Path) -> None:
    with page_server(tmp_path, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_the_page_comes_whole_with_a_policy_that_forbids_everything_but_its_own_looks(port: int) -> None:
    status, headers, content = ask(port)
    assert (status, content.decode()) == (200, "<h1>ليتر</h1>")
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert ask(port, host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize("path", ["/letters.html", "/../etc/passwd", "/?x"])
def test_there_is_nothing_else(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:80", "localhost"])
def test_a_page_elsewhere_that_calls_us_by_its_own_name_gets_nothing(port: int, host: str) -> None:
    status, _, content = ask(port, host=host)
    assert status == 421
    assert "ليتر".encode() not in content


def test_nothing_can_be_posted(port: int) -> None:
    assert ask(port, method="POST")[0] == 501
