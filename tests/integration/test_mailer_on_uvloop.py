"""The same conversations on uvloop, which production runs on; and the scripted relay as a process of its own."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from jobs.ports import Scope
from tests.mailer_parts import ListRecorder, a_mailer, an_envelope, send, some_envelopes, until
from tests.relay import Act, Relay, Rule, Stage
from workers.mailer.terms import Terms


async def many_letters() -> None:
    async with Relay() as relay:
        mailer = a_mailer(relay, terms=Terms(letters=50))
        recorder = await send(mailer, some_envelopes(1000))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 1000}
    assert set(relay.recipients().values()) == {1}


async def lost_after_the_dot() -> None:
    async with Relay([Rule(stage=Stage.DOT, act=Act.ACCEPT_AND_DROP, recipient="m3@*", times=1)]) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = await send(mailer, some_envelopes(8))
        await mailer.aclose()
    assert recorder.scopes() == {Scope.ACCEPTED: 7, Scope.UNCERTAIN: 1}
    assert set(relay.recipients().values()) == {1}


async def lost_before_the_content() -> None:
    async with Relay([Rule(stage=Stage.DATA, act=Act.DROP)]) as relay:
        mailer = a_mailer(relay)
        assert (await send(mailer, [an_envelope()])).scopes() == {Scope.RELAY: 1}
        await mailer.aclose()


async def silent() -> None:
    async with Relay([Rule(stage=Stage.DOT, act=Act.HANG)]) as relay:
        mailer = a_mailer(relay, terms=Terms(dot_seconds=0.2))
        assert (await send(mailer, [an_envelope()])).scopes() == {Scope.UNCERTAIN: 1}
        await mailer.aclose()


async def cancelled() -> None:
    async with Relay([Rule(stage=Stage.DOT, act=Act.HANG, recipient="m*")]) as relay:
        mailer = a_mailer(relay, connections=1)
        recorder = ListRecorder()
        call = asyncio.create_task(mailer.send(some_envelopes(10), recorder, seconds=10))
        await until(lambda: "DATA" in relay.verbs())
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert recorder.scopes() == {Scope.UNCERTAIN: 1, Scope.UNSENT: 9}
        assert (await send(mailer, [an_envelope()])).scopes() == {Scope.ACCEPTED: 1}
        await mailer.aclose()


@pytest.mark.parametrize("conversation", [many_letters, lost_after_the_dot, lost_before_the_content, silent, cancelled])
def test_on_uvloop(conversation: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await conversation()

    uvloop.run(run())


@asynccontextmanager
async def a_relay_process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Relay]]:
    """A relay that outlives whoever talks to it; the `Relay` that comes along only says where it listens."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.relay", *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        ready = await asyncio.wait_for(process.stdout.readline(), 20)
        yield process, Relay(port=int(ready.rpartition(b":")[2]))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def test_a_relay_process_logs_what_it_accepted_and_reads_its_rules_again(tmp_path: Path) -> None:
    log, rules = tmp_path / "accepted.jsonl", tmp_path / "rules.jsonl"
    rules.write_text(json.dumps({"stage": "rcpt", "recipient": "m1@*", "reply": "550 5.1.1 unknown"}) + "\n")
    async with a_relay_process("--log", str(log), "--rules", str(rules)) as (process, address):
        mailer = a_mailer(address)
        recorder = await send(mailer, some_envelopes(20))
        assert recorder.scopes() == {Scope.ACCEPTED: 19, Scope.RECIPIENT: 1}
        rules.write_text("")
        process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.2)
        assert (await send(mailer, [an_envelope("m1@example.com")])).scopes() == {Scope.ACCEPTED: 1}
        await mailer.aclose()
    accepted = [json.loads(line) for line in log.read_text().splitlines()]
    assert Counter(letter["recipient"] for letter in accepted) == Counter(f"m{number}@example.com" for number in range(20))
    assert all(letter["message_id"] == f"<{letter['recipient']}>" and letter["at"] > 0 for letter in accepted)


async def test_a_relay_killed_while_it_works_leaves_receipts_that_its_log_bears_out(tmp_path: Path) -> None:
    """kill -9: what was accepted is in the log, what is in the log was accepted or is in doubt."""
    log = tmp_path / "accepted.jsonl"
    async with a_relay_process("--log", str(log), "--delay", "0.005") as (process, address):
        mailer = a_mailer(address)
        recorder = ListRecorder()
        call = asyncio.create_task(mailer.send(some_envelopes(3000), recorder, seconds=20))
        await until(lambda: recorder.scopes()[Scope.ACCEPTED] >= 200)
        process.kill()
        await call
        await mailer.aclose()
    logged = Counter(json.loads(line)["recipient"] for line in log.read_text().splitlines())
    by_scope = {scope: {envelope.recipient for envelope, receipt in recorder.receipts if receipt.scope is scope} for scope in Scope}
    assert sum(map(len, by_scope.values())) == 3000
    assert set(logged.values()) == {1}
    assert by_scope[Scope.ACCEPTED] <= logged.keys() <= by_scope[Scope.ACCEPTED] | by_scope[Scope.UNCERTAIN]
    assert len(by_scope[Scope.UNCERTAIN]) <= 16
    assert by_scope[Scope.RELAY]
