"""`letters preview` and `letters send-test`: a page that can be read, a letter that really leaves, and every way in which it does not."""

import email
import email.policy
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest

from jobs.domain.letters import LetterKind
from jobs.letters.catalogues import languages
from tests.integration.cli_runner import Cli
from tests.relay import Act, Relay, Rule, Stage
from tests.unit import letters_page
from workers.cli.exit_codes import ExitCode

ALL = len(LetterKind) * len(languages())


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Nothing is configured."""
    return Cli(monkeypatch, capsys, {})


@pytest.fixture
def sender(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """What sending takes is configured, but for the relay."""
    monkeypatch.setenv("MAIL_FROM", "Example Security <security@example.com>")
    monkeypatch.setenv("APP_URL", "https://app.example.com")
    return cli


def use(relay: Relay, monkeypatch: pytest.MonkeyPatch, scheme: str = "smtp") -> None:
    monkeypatch.setenv("SMTP_URL", f"{scheme}://127.0.0.1:{relay.port}")


def pages(folder: Path) -> list[str]:
    """What the frames of the gallery in a folder show."""
    gallery = letters_page.read((folder / "letters.html").read_text("utf-8"))
    return [frame.attributes["srcdoc"] for frame in gallery.find("iframe")]


def written(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_preview_takes_no_setting_and_no_server(cli: Cli, tmp_path: Path) -> None:
    done = await cli("letters", "preview", "--folder", tmp_path / "new", "--json")
    assert done.code is ExitCode.OK
    assert done.document == {"page": str(tmp_path / "new" / "letters.html"), "url": None, "letters": ALL}
    assert len(pages(tmp_path / "new")) == 3 * ALL
    assert str(tmp_path) in (await cli("letters", "preview", "--folder", tmp_path)).out


async def test_a_preview_looks_as_the_environment_says(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_PRODUCT_NAME", "Sesame")
    monkeypatch.setenv("PORTCULLIS_COLOURS", "link=#7a1fa2")
    monkeypatch.setenv("APP_URL", "https://door.example.com")
    await cli("letters", "preview", "--folder", tmp_path)
    frame = pages(tmp_path)[0]
    assert "Sesame" in letters_page.read(frame).visible
    assert "https://door.example.com" in frame
    assert "color:#7a1fa2" in frame


async def test_a_look_that_does_not_hold_writes_nothing_and_says_all_of_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTCULLIS_COLOURS", "link=#ddeeff")
    monkeypatch.setenv("PORTCULLIS_LEGAL_LINE", "\u200b")
    refused = await cli("letters", "preview", "--folder", tmp_path, "--json")
    assert refused.code is ExitCode.NOT_SET_UP
    assert [line.split(":")[0] for line in refused.document["error"]["details"]] == ["PORTCULLIS_COLOURS", "PORTCULLIS_LEGAL_LINE"]
    assert written(tmp_path) == []


async def test_a_folder_that_cannot_be_made_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = await cli("letters", "preview", "--folder", tmp_path / "file")
    assert refused.code is ExitCode.REFUSED
    assert "--folder" in refused.err


async def test_a_port_that_is_taken_is_named(cli: Cli, tmp_path: Path) -> None:
    with closing(create_server(("127.0.0.1", 0))) as taken:
        refused = await cli("letters", "preview", "--folder", tmp_path, "--serve", "--port", taken.getsockname()[1])
    assert refused.code is ExitCode.REFUSED
    assert "--port" in refused.err


def test_a_preview_is_served_until_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workers", "letters", "preview", "--folder", str(tmp_path), "--serve", "--port", "0", "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTCULLIS_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == (tmp_path / "letters.html").read_bytes()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize("kind", [LetterKind.SIGNED_OUT, LetterKind.REPORT])
async def test_a_test_letter_leaves_whole_and_the_answer_is_told(sender: Cli, monkeypatch: pytest.MonkeyPatch, kind: LetterKind) -> None:
    async with Relay() as relay:
        use(relay, monkeypatch)
        sent = await sender("letters", "send-test", "ops@example.org", "--kind", kind, "--locale", "de-AT", "--json")
        again = await sender("letters", "send-test", "ops@example.org", "--kind", kind, "--locale", "tlh")
    assert sent.code is again.code is ExitCode.OK
    told = {"recipient": "ops@example.org", "kind": kind, "language": "de", "relay": f"127.0.0.1:{relay.port}", "code": 250}
    assert told.items() <= sent.document.items()
    assert re.match(rf"127\.0\.0\.1:\d+ took {kind} for ops@example\.org: 250 ", again.out)
    first, second = (email.message_from_bytes(content, policy=email.policy.strict) for content in relay.contents)
    assert (first["To"], first["From"]) == ("Anna Smith <ops@example.org>", "Example Security <security@example.com>")
    assert (first["Content-Language"], second["Content-Language"]) == ("de", "en")
    assert first["Message-ID"] != second["Message-ID"]
    assert first["Feedback-ID"].startswith(kind)


@pytest.mark.parametrize(
    ("rule", "ends", "said"),
    [
        (Rule(stage=Stage.RCPT, reply="550 5.1.1 no such user"), (ExitCode.REFUSED, "letter_refused"), "rcpt: 550 5.1.1 no such user"),
        (Rule(stage=Stage.RCPT, reply="450 4.2.0 greylisted"), (ExitCode.REFUSED, "letter_refused"), "450 4.2.0 greylisted"),
        (Rule(stage=Stage.DOT, reply="554 5.7.1 policy"), (ExitCode.REFUSED, "letter_refused"), "dot: 554 5.7.1 policy"),
        (Rule(stage=Stage.CONNECT, reply="421 4.3.2 closing"), (ExitCode.UNREACHABLE, "relay_unreachable"), "421"),
        (Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP), (ExitCode.UNREACHABLE, "no_answer"), "never said"),
    ],
)
async def test_what_the_relay_does_is_told_in_its_words(
    sender: Cli, monkeypatch: pytest.MonkeyPatch, rule: Rule, ends: tuple[ExitCode, str], said: str
) -> None:
    async with Relay([rule]) as relay:
        use(relay, monkeypatch)
        refused = await sender("letters", "send-test", "ops@example.org", "--json")
    assert (refused.code, refused.document["error"]["name"]) == ends
    assert said in refused.document["error"]["what"]
    assert refused.document["error"]["to_do"]
    assert relay.letters == (1 if rule.act is Act.ACCEPT_AND_DROP else 0)


async def test_without_starttls_nothing_is_sent(sender: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Relay() as relay:
        use(relay, monkeypatch, "smtp+starttls")
        refused = await sender("letters", "send-test", "ops@example.org", "--json")
    assert (refused.code, refused.document["error"]["name"]) == (ExitCode.NOT_SET_UP, "relay_refused_us")
    assert relay.letters == 0


async def test_a_relay_that_is_not_there_is_named(sender: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{port}")
    refused = await sender("letters", "send-test", "ops@example.org", "--json")
    assert (refused.code, refused.document["error"]["name"]) == (ExitCode.UNREACHABLE, "relay_unreachable")
    assert f"127.0.0.1:{port}" in refused.document["error"]["what"]


@pytest.mark.parametrize(
    "url", ["smpt://relay.example.com", "smtp://relay.example.com:2x5", "smtps:/relay.example.com", "relay.example.com"]
)
async def test_a_relay_url_with_a_typo_is_a_fault_of_the_configuration(sender: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SMTP_URL", url)
    refused = await sender("letters", "send-test", "ops@example.org", "--json")
    assert refused.code is ExitCode.NOT_SET_UP
    [fault] = refused.document["error"]["details"]
    assert fault.startswith("SMTP_URL: ")


@pytest.mark.parametrize("address", ["nobody", "a@b.example\r\nRCPT TO:<c@d.example>", "jürgen@example.com", " "])
async def test_an_address_that_nothing_can_be_sent_to_is_wrong_usage(sender: Cli, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    async with Relay() as relay:
        use(relay, monkeypatch)
        assert (await sender("letters", "send-test", address)).code is ExitCode.USAGE
    assert relay.connections == 0
