"""Worker hosts on a network of their own: network namespaces on a switch, whose cables can be pulled.

A host is a namespace with one interface and a host name of its own. It sees the servers at the switch's address, where forwarders
stand for them. A pulled cable is what it is in a rack: nothing is refused or reset, nothing arrives, and TCP goes on trying.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

CHUNK = 65_536
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

NAMED = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
"""Gives the host its name, which is the first argument, and becomes the command behind it."""


class NoHostsError(Exception):
    """Namespaces can't be made here; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine as its processes see it. `gateway` is where it finds the servers."""

    name: str
    namespace: str
    cable: str
    gateway: str

    def command(self, *command: str) -> list[str]:
        """Return the command that runs `command` on this host, under the same process id."""
        return [_program("ip"), "netns", "exec", self.namespace, _program("unshare"), "--uts", "sh", "-c", NAMED, self.name, *command]

    def pull_cable(self) -> None:
        """Cut the host off."""
        _ip("link", "set", self.cable, "down")

    def plug_in(self) -> None:
        """Connect it again."""
        _ip("link", "set", self.cable, "up")


@contextmanager
def a_network(*names: str) -> Iterator[list[Host]]:
    """Make hosts of these names on a switch; they vanish with the block. The addresses are those that RFC 2544 keeps for tests.

    Raises:
        NoHostsError: This machine, or this account, can't have namespaces.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoHostsError("network namespaces need Linux and root")
    number = os.getpid() % 100_000
    network = f"198.18.{number % 250}"
    switch, gateway = f"pc{number}sw", f"{network}.1"
    made: list[Host] = []
    try:
        _ip("link", "add", switch, "type", "bridge")
        _ip("addr", "add", f"{gateway}/24", "dev", switch)
        _ip("link", "set", switch, "up")
        for place, name in enumerate(names):
            made.append(Host(name=name, namespace=f"pc{number}-{name}", cable=f"pc{number}c{place}", gateway=gateway))
            _connect(made[-1], switch, f"{network}.{10 + place}/24")
        yield made
    finally:
        for host in made:
            with suppress(NoHostsError):
                _ip("netns", "delete", host.namespace)
        with suppress(NoHostsError):
            _ip("link", "delete", switch)


@asynccontextmanager
async def a_forwarder(address: str, target: int) -> AsyncIterator[int]:
    """Listen at `address` and forward every connection to a port of 127.0.0.1; yields the port to connect to."""
    flows: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        flows.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(_pour(reader, there_writer), _pour(there_reader, writer))
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            flows.discard(task)

    server = await asyncio.start_server(serve, address, 0, backlog=512)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for flow in tuple(flows):
            flow.cancel()
        await asyncio.gather(*flows, return_exceptions=True)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()


def _connect(host: Host, switch: str, address: str) -> None:
    _ip("netns", "add", host.namespace)
    _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
    _ip("link", "set", host.cable, "master", switch)
    _ip("link", "set", host.cable, "up")
    _ip("-n", host.namespace, "addr", "add", address, "dev", "eth0")
    for interface in ("lo", "eth0"):
        _ip("-n", host.namespace, "link", "set", interface, "up")


def _ip(*arguments: str) -> None:
    _run([_program("ip"), *arguments])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        raise NoHostsError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def _program(name: str) -> str:
    found = shutil.which(name, path=SEARCHED)
    if found is None:
        raise NoHostsError(f"the program {name} is not installed (Debian, Ubuntu: apt install iproute2 util-linux)")
    return found
