"""The notary: seals what was written down, every second, and signs how far the chains have come, every minute and when a run ends.

A task beside each conductor; of several, one at a time does it. It owns nothing: what it did not come to waits, and `verify` says so.
"""

import asyncio

import structlog

from jobs.audit import checkpoints, sealing
from jobs.audit.sealing import AT_A_TIME
from jobs.keys import KeyRing, Purpose
from jobs.store.database import Connection, Pool, log_failure

log = structlog.get_logger(__name__)

SEAL_SECONDS = 1.0
CHECKPOINT_SECONDS = 60.0


class Notary:
    """Seals and signs, until cancelled."""

    def __init__(self, pool: Pool, ring: KeyRing) -> None:
        self._pool = pool
        self._ring = ring
        self._sign_at = 0.0

    async def run(self) -> None:
        """Look every second. Whatever goes wrong is logged and tried again: no batch waits for a seal."""
        while True:
            try:
                sealed = await self.look()
            except Exception as error:  # noqa: BLE001 -- all of it is written down
                log_failure(log, "sealing_failed", error)
                sealed = 0
            if sealed < AT_A_TIME:
                await asyncio.sleep(SEAL_SECONDS)

    async def look(self) -> int:
        """Seal what waits, and sign if that is due; returns how many entries were sealed."""
        now = asyncio.get_running_loop().time()
        async with self._pool.acquire() as connection:
            sealed, has_ended = await sealing.seal(connection, self._ring.current(Purpose.AUDIT))
            if has_ended or now >= self._sign_at:
                self._sign_at = now + CHECKPOINT_SECONDS
                await self._sign(connection)
        return sealed

    async def _sign(self, connection: Connection) -> None:
        checkpoint = await checkpoints.sign(connection, self._ring)
        if checkpoint is not None:
            log.info("audit_checkpoint", number=checkpoint.number, mark=checkpoints.mark(checkpoint), key=checkpoint.key_id)
