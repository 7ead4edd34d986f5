"""A TCP proxy on 127.0.0.1 that makes a network bad: latency, cut, half-open, cut in COMMIT, answers that never arrive.

Stands between the workers and PostgreSQL; the test's own connections go past it. Knows nothing of PostgreSQL but the word COMMIT.
"""

import asyncio
from contextlib import suppress
from typing import Self

CHUNK = 65_536


class Proxy:
    """Forwards to `target` (a port). What is set on it holds from the next bytes on, on connections that stand too."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay_seconds = 0.0
        """Each chunk towards the server comes this much late."""
        self.commits_to_cut = 0
        """So many COMMITs, from now on, end their connection."""
        self.commits_arrive = True
        """Whether such a COMMIT reaches the server all the same."""
        self.answers_to_lose = 0
        """So many answers, from now on, end their connection instead of arriving."""
        self.cuts = 0
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.mend()
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mend(self) -> None:
        """Be a good network again."""
        self.delay_seconds = 0.0
        self.commits_to_cut = self.answers_to_lose = 0
        self._flows.set()

    def stall(self) -> None:
        """Forward nothing, close nothing: what a half-open connection looks like."""
        self._flows.clear()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(to_client)
        to_server = None
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(to_server)
            await asyncio.gather(self._ask(client, to_server), self._answer(server, to_client))
        except (ConnectionError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for writer in (to_client, to_server):
                if writer is not None:
                    self._writers.discard(writer)
                    writer.transport.abort()

    async def _ask(self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while data := await client.read(CHUNK):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            await self._flows.wait()
            if self.commits_to_cut > 0 and b"COMMIT" in data:
                self.commits_to_cut -= 1
                if self.commits_arrive:
                    to_server.write(data)
                    with suppress(ConnectionError):
                        await to_server.drain()
                self._cut_one()
            to_server.write(data)
            await to_server.drain()
        raise ConnectionResetError

    async def _answer(self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        while data := await server.read(CHUNK):
            await self._flows.wait()
            if self.answers_to_lose > 0:
                self.answers_to_lose -= 1
                self._cut_one()
            to_client.write(data)
            await to_client.drain()
        raise ConnectionResetError

    def _cut_one(self) -> None:
        self.cuts += 1
        raise ConnectionResetError
