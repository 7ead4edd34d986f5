"""Peer: sessions in sets as we do it, then aiosmtplib on 16 reused connections and an `EmailMessage` built for each letter.

    python -m tests.benchmarks.peers.message_per_letter ORGANIZATION

What one gets who has read about sets and pools but not about MIME: everything but the letters is quick.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from itertools import islice

import aiosmtplib
import asyncpg
import uvloop

from tests.benchmarks.peers import work

BATCH = 500
CONNECTIONS = 16
RECORDED_TOGETHER = 250

ENFORCE = """
    WITH judged AS MATERIALIZED (
        SELECT user_id, CASE WHEN NOT is_active THEN 'inactive' WHEN NOT has_password AND has_sso THEN 'sso'
                             WHEN has_second_factor THEN 'protected' ELSE 'unprotected' END AS verdict
        FROM directory.member WHERE organization_id = $1 AND user_id = ANY ($2)
    ), ended AS (
        SELECT * FROM directory.end_sessions($1, (SELECT array_agg(user_id) FROM judged WHERE verdict = 'unprotected'), true)
    )
    INSERT INTO peer.record (user_id, verdict, sessions_ended)
    SELECT judged.user_id, judged.verdict, coalesce(ended.ended, 0) FROM judged LEFT JOIN ended ON ended.user_id = judged.user_id
"""

ADDRESSEES = """
    SELECT member.user_id, member.email, member.display_name
    FROM peer.record JOIN directory.member AS member ON member.user_id = record.user_id AND member.organization_id = $1
    WHERE record.verdict <> 'inactive' AND member.email IS NOT NULL
"""


async def main(organization_id: int) -> None:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=2) as pool:
        await pool.execute("INSERT INTO peer.started DEFAULT VALUES")
        rows = await pool.fetch("SELECT user_id FROM app.memberships WHERE organization_id = $1 ORDER BY 1", organization_id)
        members = [row["user_id"] for row in rows]
        batches = iter([members[start : start + BATCH] for start in range(0, len(members), BATCH)])
        await asyncio.gather(*(_enforce(pool, organization_id, batches) for _ in range(2)))
        letters = iter(await pool.fetch(ADDRESSEES, organization_id))
        await asyncio.gather(*(_send(pool, letters) for _ in range(CONNECTIONS)))


async def _enforce(pool: asyncpg.Pool, organization_id: int, batches: Iterator[list[int]]) -> None:
    for batch in batches:
        await pool.execute(ENFORCE, organization_id, batch)


async def _send(pool: asyncpg.Pool, letters: Iterator[asyncpg.Record]) -> None:
    host, port = work.relay()
    async with aiosmtplib.SMTP(hostname=host, port=port) as client:
        while some := list(islice(letters, RECORDED_TOGETHER // CONNECTIONS)):
            for _, address, name in some:
                await client.send_message(work.message(address, name))
            await pool.execute("UPDATE peer.record SET mailed_at = clock_timestamp() WHERE user_id = ANY ($1)", [row[0] for row in some])


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
