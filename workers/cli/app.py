"""Which verbs there are; runs one, and turns whatever goes wrong into a sentence and an exit code.

A verb's module is imported when the verb is called, so that `--help` and a quick look stay quick. The summaries here are the first lines
of the verbs' docstrings; a test compares them.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import TextIOWrapper
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Group

from workers.cli import exit_codes
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.screen import note, tell_json

if TYPE_CHECKING:
    from jobs.store.steering import MalformedOrderError, Stale

INSTALL = Group("Set up", sort_key=1)
SWITCH = Group("The switch", sort_key=2)
RUNS = Group("Runs", sort_key=3)
QUEUES = Group("Queues", sort_key=4)
LETTERS = Group("Letters", sort_key=5)
OPERATORS = Group("The console", sort_key=6)
AUDIT = Group("Audit", sort_key=7)
PROCESSES = Group("Processes", sort_key=8)


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: its place in `workers.cli`, in which group of the help, and what it does in one line. `under`: the word that it follows."""

    place: str
    group: Group
    summary: str
    under: str = ""

    @property
    def path(self) -> str:
        """Where its function is."""
        return f"workers.cli.{self.place}"

    @property
    def own_name(self) -> str:
        """Its own word."""
        return self.place.rpartition(":")[2].rstrip("_").replace("_", "-")

    @property
    def name(self) -> str:
        """The words on the command line."""
        return f"{self.under} {self.own_name}".lstrip()


VERBS = (
    Verb("install:migrate", INSTALL, "Install or upgrade the schema `portcullis`."),
    Verb("doctor.verb:doctor", INSTALL, "Look at everything that Portcullis stands on, and say what to do about it."),
    Verb("switch:preview", SWITCH, "See who would be affected, without changing anything."),
    Verb("switch:enforce", SWITCH, "Switch on: make the second factor mandatory for an organization."),
    Verb("switch:lift", SWITCH, "Switch off: no longer ask for a second factor."),
    Verb("runs:status", RUNS, "Show one run: verdicts, sessions, letters, and what needs a human."),
    Verb("watching:watch", RUNS, "Watch a run until it is over: sessions and letters, rate, time left."),
    Verb("runs:runs", RUNS, "List runs, newest first."),
    Verb("runs:cancel", RUNS, "Stop a run, while the requirement, and so the gate, stands."),
    Verb("queues:queues", QUEUES, "Show both queues: what is due, how old the oldest is, and who serves them."),
    Verb("dead:replay", QUEUES, "Try dead batches again, from the first attempt on."),
    Verb("dead:list_", QUEUES, "List batches that were put aside for a human, each with its reason.", under="dead"),
    Verb(
        "dead:show",
        QUEUES,
        "Show one dead batch whole: its range, its letters by state, its last words, how many died alike.",
        under="dead",
    ),
    Verb("dead:replay", QUEUES, "Try dead batches again, from the first attempt on.", under="dead"),
    Verb(
        "dead:discard",
        QUEUES,
        "Give up the letters of dead batches: they are cancelled, counted, and named in the admin's report.",
        under="dead",
    ),
    Verb("pausing:pause", QUEUES, "Stop a run, an organization, all letters or everything, until somebody resumes it."),
    Verb("pausing:resume", QUEUES, "Let what was paused go on."),
    Verb("pausing:pauses", QUEUES, "List what is paused, by whom, since when and why."),
    Verb("limits:list_", QUEUES, "List the sending limits that people set.", under="limits"),
    Verb("limits:set_", QUEUES, "Set a sending limit; mailers obey it within seconds.", under="limits"),
    Verb("limits:clear", QUEUES, "Let the configured limit hold again.", under="limits"),
    Verb("breakers:list_", QUEUES, "List breakers that are open or were, open ones first, each with its cause.", under="breakers"),
    Verb("breakers:close", QUEUES, "Close a breaker, because its cause is mended, or hold it closed for a while.", under="breakers"),
    Verb(
        "workers:list_",
        QUEUES,
        "List worker processes: version, what each holds, how late its event loop is, when it was last heard of.",
        under="workers",
    ),
    Verb("workers:drain", QUEUES, "Tell a worker process to finish what it holds, give back the rest, and end.", under="workers"),
    Verb("actions:actions", QUEUES, "List who did what and why, latest first."),
    Verb("letters:preview", LETTERS, "Write a page with every letter in every language.", under="letters"),
    Verb(
        "letters:send_test",
        LETTERS,
        "Send one sample letter through the configured relay, and say what the relay answered.",
        under="letters",
    ),
    Verb(
        "bounces:read",
        LETTERS,
        "Take mail that came back: letters that did not arrive are refused after all, their addresses suppressed.",
        under="bounces",
    ),
    Verb(
        "suppressions:list_",
        LETTERS,
        "List addresses that are not written to, the latest first, each with its reason.",
        under="suppressions",
    ),
    Verb("suppressions:add", LETTERS, "Write to an address no more, until it is removed from the list.", under="suppressions"),
    Verb("suppressions:remove", LETTERS, "Write to an address again, from the next letter on.", under="suppressions"),
    Verb("rotating:rotate", INSTALL, "Seal every second-factor secret under the ring's first key, so that older keys can leave the ring."),
    Verb("demonstration:demo", INSTALL, "See the whole story on real servers of its own, checked."),
    Verb("operators:add", OPERATORS, "Let somebody sign in to the console, by an invitation that works once.", under="operators"),
    Verb("operators:list_", OPERATORS, "List who may sign in to the console.", under="operators"),
    Verb("operators:reset", OPERATORS, "Take password, second factor and sessions away, and invite anew.", under="operators"),
    Verb("operators:remove", OPERATORS, "Let somebody sign in no longer; their sessions end.", under="operators"),
    Verb("auditing:verify", AUDIT, "Verify the record of one run, or all of it: find the first entry that was touched.", under="audit"),
    Verb("auditing:key", AUDIT, "Print the public keys that verify checkpoints and certificates; the first one signs now.", under="audit"),
    Verb("erasing:erase", AUDIT, "Forget a person who has left: who it was, not what was done."),
    Verb("auditing:prove", AUDIT, "Prove that a run is done: ask again, and print a signed certificate."),
    Verb("watchman:auditor", PROCESSES, "Check the invariants every minute, reading only."),
    Verb("processes:conductor", PROCESSES, "Run a conductor in the foreground."),
    Verb("tokens:add", OPERATORS, "Make a token for a program that uses the API.", under="tokens"),
    Verb("tokens:list_", OPERATORS, "List the API's tokens, without what they are.", under="tokens"),
    Verb("tokens:revoke", OPERATORS, "Let a token be good no longer, from its next request on.", under="tokens"),
    Verb("processes:console", PROCESSES, "Serve the console: every run and queue in a browser."),
    Verb("measuring:metrics", PROCESSES, "Serve metrics, health and readiness of the whole system."),
    Verb("measuring:health", PROCESSES, "Say by the exit code whether the processes of this host are well."),
)

FAMILIES = {
    "dead": (QUEUES, "Batches that were put aside for a human: `list`, `show`, `replay`, `discard`."),
    "limits": (QUEUES, "Sending limits that people set: `list`, `set`, `clear`."),
    "breakers": (QUEUES, "What is held back because it fares badly: `list`, `close`."),
    "workers": (QUEUES, "Worker processes: `list`, `drain`."),
    "letters": (LETTERS, "Letters before members see them: `preview`, `send-test`."),
    "bounces": (LETTERS, "Mail that came back: `read`."),
    "suppressions": (LETTERS, "Addresses that are not written to: `list`, `add`, `remove`."),
    "audit": (AUDIT, "The record of what was done: `verify`, `key`."),
    "operators": (OPERATORS, "Who may sign in to the console: `add`, `list`, `reset`, `remove`."),
    "tokens": (OPERATORS, "Tokens for programs that use the API: `add`, `list`, `revoke`."),
}
"""Words that verbs follow. One with a verb `list`, said alone or with options, means that."""

LISTS = frozenset(verb.under for verb in VERBS if verb.under and verb.own_name == "list")

ABOUT = """Make two-factor authentication mandatory for a whole organization.

```console
$ portcullis preview 42
$ portcullis enforce 42 --as 7 --reason "audit finding 12" --wait
$ portcullis doctor
```

Every verb takes `--help` and, where it prints a result, `--json`. Configuration comes from environment variables; a verb reads only those
that it needs.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a letter is no reason to fail.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = run(tokens)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read along has seen enough, as with `| head`. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.OK
    sys.exit(int(code))


def run(tokens: Sequence[str]) -> ExitCode:
    """Run one command and return how it ended. Whatever a user can cause is said in words, on `--json` as a document too."""
    try:
        "".join(tokens).encode()  # bytes that are no text would be refused much later, in nobody's words
        spelled = _spelled_out(tokens)
        result = _app(spelled)(spelled)
        return result if isinstance(result, ExitCode) else ExitCode.OK
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 -- the outermost place; what nobody foresaw is shown whole
        return _end(error, as_json="--json" in tokens)


def _spelled_out(tokens: Sequence[str]) -> list[str]:
    """Return the words with `list` where it goes without saying: `dead --run 7`."""
    word, *rest = tokens or [""]
    goes_without = word in LISTS and (not rest or (rest[0].startswith("-") and rest[0] not in {"--help", "-h"}))
    return [word, "list", *rest] if goes_without else list(tokens)


def _app(tokens: Sequence[str]) -> App:
    app = App(
        name="portcullis",
        help=ABOUT,
        help_format="markdown",
        help_epilogue=exit_codes.table(),
        version=lambda: version("portcullis"),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    families = {word: App(name=word, group=group, help=about, version_flags=()) for word, (group, about) in FAMILIES.items()}
    for verb in VERBS:
        # The verb that is called explains itself; for the others a line will do.
        words = verb.name.split()
        summary = None if list(tokens[: len(words)]) == words else verb.summary
        family = families[verb.under] if verb.under else app
        family.command(verb.path, name=verb.own_name, group=verb.group, help=summary)
    for family in families.values():
        app.command(family)
    return app


def _end(error: Exception, *, as_json: bool) -> ExitCode:
    failure = _explain(error)
    if failure is None:
        traceback.print_exception(error)
        failure = Failure(ExitCode.BUG, "bug", f"A fault of Portcullis itself: {type(error).__name__}", "Report it with the lines above.")
    note(*failure.as_lines())
    if as_json:
        tell_json(failure.as_json())
    return failure.code


def _explain(error: Exception) -> Failure | None:  # noqa: PLR0911 -- one line an error
    from jobs.store.ids import MalformedIdError  # noqa: PLC0415 -- only who fails pays for these
    from jobs.store.steering import MalformedOrderError, Stale  # noqa: PLC0415 -- as above
    from workers.settings import ConfigurationError  # noqa: PLC0415 -- as above

    match error:
        case Stale() | MalformedOrderError():
            return _explain_order(error)
        case Failure():
            return error
        case CycloptsError():
            return Failure(ExitCode.USAGE, "usage", str(error), "`portcullis --help` lists the verbs, and each takes `--help`.")
        case MalformedIdError():
            return Failure(ExitCode.USAGE, "malformed_id", str(error), "Pass the id as the main app has it.")
        case ConfigurationError():
            to_do = "Set them in the environment and run it again."
            return Failure(ExitCode.NOT_SET_UP, "configuration", "The configuration has faults", to_do, error.faults)
        case UnicodeError():
            return Failure(ExitCode.USAGE, "usage", "An argument is not valid UTF-8", "Type it anew.")
        case _:
            return None


def _explain_order(error: "Stale | MalformedOrderError") -> Failure:
    """Say why an order of `jobs.store.steering` was not carried out; nothing was done."""
    from jobs.store.steering import Stale, Unknown  # noqa: PLC0415 -- as above

    if isinstance(error, Stale):
        return Failure(ExitCode.NOT_FOUND if isinstance(error, Unknown) else ExitCode.REFUSED, error.name, error.what, error.to_do)
    words = str(error)
    return Failure(ExitCode.USAGE, "malformed_order", words[:1].upper() + words[1:], "Give it anew; nothing was done.")
