"""Letters before members see them: a page that shows them all, and one that really leaves. Sample facts stand in for everybody's."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import structlog
from cyclopts import Parameter
from cyclopts.validators import Number
from pydantic import Field

from jobs.domain.letters import LetterKind
from jobs.letters import Branding, Composed, Composer, Unaddressable
from jobs.letters.catalogues import languages
from jobs.letters.gallery import write_gallery
from jobs.letters.languages import negotiate
from jobs.letters.samples import write_sample
from jobs.ports import Envelope, Receipt, Scope, SmtpStage
from workers.cli.doctor.relay import TO_DO
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson
from workers.cli.screen import note, tell, tell_json
from workers.cli.serving import HOST, page_server
from workers.mailer import PooledMailer
from workers.mailer.connection import local_hostname, tls_context
from workers.mailer.terms import Terms
from workers.settings import LetterSettings, Relay, RelaySettings, Security

FOLDER = Path("var/letters")
PORT = 8026
SECONDS = 20.0
TERMS = Terms(connect_seconds=15, command_seconds=30, dot_seconds=120)
"""Somebody waits and looks: a relay that takes longer is worth hearing about."""


class _Shown(LetterSettings):
    """What letters look like; where they lead may be unknown as yet."""

    app_url: str = Field(default="https://app.example.com", alias="APP_URL")


class _Needed(LetterSettings, RelaySettings):
    """What a letter that leaves takes."""


def preview(
    *,
    folder: Annotated[Path, Parameter(help="Where the page is written; made if need be.")] = FOLDER,
    serve: Annotated[bool, Parameter(negative=(), show_default=False, help="Show it on this machine until Ctrl-C.")] = False,
    port: Annotated[int, Parameter(help="With `--serve`; 0: any that is free.", validator=Number(gte=0, lte=65535))] = PORT,
    as_json: AsJson = False,
) -> None:
    """Write a page with every letter in every language.

    Light, dark, on a phone, and the text beside them, looking as the environment says (`PORTCULLIS_COLOURS` and the like). Asks no server
    and needs no setting. `--serve` listens on the loopback address only.

    ```console
    $ portcullis letters preview --serve
    $ PORTCULLIS_COLOURS="link=#7a1fa2, button=#7a1fa2" portcullis letters preview --folder /tmp/letters
    ```
    """
    settings = _Shown.load()
    try:
        page = write_gallery(folder, app_url=settings.app_url, branding=Branding.read(settings.branding_words))
    except OSError as error:
        raise Failure(
            ExitCode.REFUSED, "not_written", f"The page can't be written: {error}", "Name another place with --folder."
        ) from error
    if serve:
        _serve(page, port, as_json=as_json)
    else:
        _tell_page(page, None, as_json=as_json)


async def send_test(
    address: Annotated[str, Parameter(help="Whom to send it to.")],
    /,
    *,
    kind: Annotated[LetterKind, Parameter(help="Which letter.")] = LetterKind.SIGNED_OUT,
    locale: Annotated[str, Parameter(help="A language, such as `fr` or `pt-BR`; English if there is no such letter.")] = "en",
    relay: Annotated[str | None, Parameter(help="Which relay of several, as host:port; the first one by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send one sample letter through the configured relay, and say what the relay answered.

    The letter is written and sent as members' are; only its facts are made up. No limit is asked and nothing is recorded. Needs SMTP_URL,
    MAIL_FROM and APP_URL.

    ```console
    $ portcullis letters send-test you@example.com
    $ portcullis letters send-test you@example.com --kind protected --locale de --json
    ```
    """
    settings = _Needed.load()
    through = _named(settings, relay)
    try:
        composed = _compose(settings, kind, locale, address)
    except Unaddressable as refused:
        raise Failure(ExitCode.USAGE, str(refused.reason), f"{address!r} can't be written to", "Pass an address.") from refused
    receipt = await _send(settings, through, composed)
    if receipt.scope is not Scope.ACCEPTED:
        raise _failure(through, receipt)
    if as_json:
        tell_json(
            {
                "recipient": composed.recipient,
                "kind": kind,
                "language": negotiate(locale, available=languages()),
                "relay": through.name,
                "code": receipt.code,
                "enhanced": receipt.enhanced,
                "answer": receipt.text,
                "relay_id": receipt.relay_id,
            }
        )
    else:
        tell(f"{through.name} took {kind} for {composed.recipient}: {_answer(receipt)}")


def _serve(page: Path, port: int, *, as_json: bool) -> None:
    try:
        server = page_server(page, port)
    except OSError as error:
        to_do = "Name another port with --port, or 0 for any that is free."
        raise Failure(ExitCode.REFUSED, "port_taken", f"{HOST}:{port} can't be listened on: {error}", to_do) from error
    with server:
        _tell_page(page, f"http://{HOST}:{server.server_port}/", as_json=as_json)
        if not as_json:
            note("Ctrl-C ends it.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def _tell_page(page: Path, url: str | None, *, as_json: bool) -> None:
    count = len(LetterKind) * len(languages())
    if as_json:
        tell_json({"page": str(page), "url": url, "letters": count})
    else:
        tell(f"{count} letters: {url or page}")


def _compose(settings: _Needed, kind: LetterKind, locale: str, address: str) -> Composed:
    composer = Composer(
        mail_from=settings.mail_from,
        app_url=settings.app_url,
        run_url=settings.run_url,
        message_id_key=secrets.token_bytes(32),  # of no ring: a test letter is nobody's, and each has an id of its own
        message_id_key_id="test",
        branding=Branding.read(settings.branding_words),
    )
    return write_sample(composer, kind, locale, address=address, dated=datetime.now(UTC))


def _named(settings: RelaySettings, name: str | None) -> Relay:
    for relay in settings.relays:
        if name in {None, relay.name}:
            return relay
    to_do = f"Name one of {', '.join(relay.name for relay in settings.relays)}."
    raise Failure(ExitCode.USAGE, "unknown_relay", f"SMTP_URL has no relay {name}", to_do)


async def _send(settings: RelaySettings, relay: Relay, letter: Composed) -> Receipt:
    hostname = local_hostname(letter.sender.rpartition("@")[2])
    envelope = Envelope(reference=None, sender=letter.sender, recipient=letter.recipient, content=letter.content)
    tls = None if relay.security is Security.PLAIN else tls_context(settings.smtp_ca)
    mailer = PooledMailer(relay, hostname=hostname, connections=1, terms=TERMS, tls=tls)
    answer = _Answer()
    try:
        with _without_logs():
            await mailer.send([envelope], answer, seconds=SECONDS)
    finally:
        await mailer.aclose(seconds=2)
    return answer.receipt


@contextmanager
def _without_logs() -> Iterator[None]:
    """The receipt says whatever the mailer would log, and standard output is for the result."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        yield
    finally:
        structlog.configure(**before)


class _Answer:
    """The `Recorder` of one letter."""

    receipt: Receipt

    async def room(self) -> None:
        """Let it begin."""

    def record(self, _envelope: Envelope, receipt: Receipt) -> None:
        """Keep what became of it."""
        self.receipt = receipt


def _failure(relay: Relay, receipt: Receipt) -> Failure:
    said = f"at {receipt.stage}: {_answer(receipt)}"
    match receipt.scope:
        case Scope.UNCERTAIN:
            to_do = "It may have arrived: look before you send another."
            return Failure(ExitCode.UNREACHABLE, "no_answer", f"{relay.name} never said whether it took the letter, {said}", to_do)
        case Scope.RELAY | Scope.UNSENT if receipt.stage in {SmtpStage.TLS, SmtpStage.AUTH}:
            return Failure(ExitCode.NOT_SET_UP, "relay_refused_us", f"{relay.name} fails {said}", TO_DO[receipt.stage])
        case Scope.RELAY | Scope.UNSENT:
            return Failure(ExitCode.UNREACHABLE, "relay_unreachable", f"{relay.name} fails {said}", TO_DO[SmtpStage.CONNECT])
        case _:
            to_do = "The words are the relay's own; if they are about the address, try another one."
            return Failure(ExitCode.REFUSED, "letter_refused", f"{relay.name} refused the letter {said}", to_do)


def _answer(receipt: Receipt) -> str:
    return " ".join(str(word) for word in (receipt.code, receipt.enhanced, receipt.text) if word)
