"""What runs are held against: one SQL statement that does the sessions' part, and Postfix's own load generator."""

import asyncio
import time

from tests.benchmarks.ground import Crowd, Ground, connected
from tests.benchmarks.sink import SMTP_SOURCE, postfix_sink
from tests.benchmarks.system import BenchError, count_live, insist
from workers.demo.embedded import LOOPBACK

SESSIONS = 16
HEADER_OCTETS = 350
"""What smtp-source puts before the payload; the letter's size is header and payload together."""

STATEMENT = """
    WITH judged AS MATERIALIZED (
        SELECT membership.user_id,
               CASE WHEN account.deactivated_at IS NOT NULL THEN 'inactive'
                    WHEN account.password_hash IS NULL AND identity.user_id IS NOT NULL THEN 'sso'
                    WHEN factor.user_id IS NOT NULL THEN 'protected'
                    ELSE 'unprotected' END AS verdict
        FROM app.memberships AS membership
        JOIN app.users AS account ON account.user_id = membership.user_id
        LEFT JOIN (SELECT DISTINCT user_id FROM app.identities) AS identity ON identity.user_id = membership.user_id
        LEFT JOIN (SELECT DISTINCT user_id FROM app.second_factors WHERE confirmed_at IS NOT NULL) AS factor
            ON factor.user_id = membership.user_id
        WHERE membership.organization_id = $1
    ), ended AS (
        UPDATE app.sessions AS session SET ended_at = clock_timestamp()
        FROM judged
        WHERE session.user_id = judged.user_id AND judged.verdict = 'unprotected'
          AND session.ended_at IS NULL AND session.expires_at > now() AND NOT session.restricted_to_enrolment
          AND (session.organization_id IS NULL OR session.organization_id = $1)
          AND session.started_with IS DISTINCT FROM 'sso'
        RETURNING session.user_id
    )
    INSERT INTO portcullis.delivery (run_id, slot, member_id, batch_id, verdict, sessions_ended, state)
    SELECT 1, 'notice', judged.user_id, 1, judged.verdict, coalesce(counted.sessions, 0),
           CASE judged.verdict WHEN 'inactive' THEN 'suppressed' ELSE 'owed' END
    FROM judged
    LEFT JOIN (SELECT user_id, count(*) AS sessions FROM ended GROUP BY user_id) AS counted ON counted.user_id = judged.user_id
"""
"""The whole organization at once, as one who knows the tables would write it: judged by joins over everybody, not member by member;
one row written per member into the same ledger. It holds its locks until the end and knows neither progress nor a way to stop."""


async def one_statement(ground: Ground, crowd: Crowd) -> float:
    """Return the seconds that it takes, its commit included, on a copy of the crowd.

    Raises:
        BenchError: It ended other sessions than it should.
    """
    organization = crowd.organizations[0]
    async with ground.copy_of(crowd) as database_url, connected(database_url) as db:
        await db.execute("SET jit = off")
        statement = await db.prepare(STATEMENT)
        begin = time.perf_counter()
        await statement.fetch(organization.organization_id)
        seconds = time.perf_counter() - begin
        ended = await db.fetchval("SELECT sum(sessions_ended) FROM portcullis.delivery")
        seen = {"sessions ended": ended, "sessions kept": await count_live(db, organization)}
        insist("the statement", seen, {"sessions ended": organization.sessions_ended, "sessions kept": organization.sessions_kept})
        return seconds


async def smtp_source(ground: Ground, letters: int) -> float | None:
    """Return letters a second of `smtp-source`, 16 sessions, connections reused, into a sink of its own; `None`: it is not installed.

    Raises:
        BenchError: It failed, or the sink did not get everything.
    """
    if SMTP_SOURCE is None:
        return None
    with postfix_sink(ground.folder) as sink:
        payload = max(1, ground.octets_a_letter - HEADER_OCTETS)
        begin = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            SMTP_SOURCE,
            *("-d", "-s", str(SESSIONS), "-l", str(payload), "-m", str(letters), f"{LOOPBACK}:{sink.port}"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        seconds = time.perf_counter() - begin
        if process.returncode != 0:
            raise BenchError(f"smtp-source failed: {said.decode(errors='replace')[-300:]}")
        insist("smtp-source", {"letters": sink.letters()}, {"letters": letters})
        return letters / seconds
