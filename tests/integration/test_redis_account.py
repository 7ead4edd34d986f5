"""The account in Redis that is documented, on a real server: enough for the sending limits and for those who look."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.integration.broker_app.own_valkey import OwnValkey
from workers.broker.account import ACCOUNT
from workers.broker.portcullis_broker import connect
from workers.console.redis_look import RedisLook
from workers.mailer.limiter import Limits, RedisLimiter
from workers.metrics.quota import used

RELAYS = ("a.test:25", "b.test:25")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    valkey = OwnValkey(tmp_path)
    valkey.start()
    yield valkey.signed_in("portcullis", *ACCOUNT.split())
    valkey.stop()


async def test_the_account_is_enough_for_limits_and_for_those_who_look(url: str) -> None:
    limits = Limits(relay_rate=5, organization_rate=5, domain_rate=5, daily_quota=100)
    async with Redis.from_url(url) as client:
        limiter = RedisLimiter(client, relay=RELAYS[0], limits=limits)
        for organization in ("1", "2", "1"):  # they contend for the domain
            for relay in RELAYS:
                assert (await limiter.take(organization, {"example.com": 50}, relay=relay)).letters.keys() == {"example.com"}
        limiter.limits = replace(limits, relay_rate=1, domain_rate=1)
        assert len((await limiter.take("1", {"example.com": 50, "example.org": 1})).letters) == 2

    with closing(connect(url)) as metrics:
        assert used(metrics, RELAYS[0]) > 0

    look = RedisLook(url)
    spent, depths = await look.spent(RELAYS), await look.depths()
    await look.aclose()
    assert (spent.is_known, depths is not None) == (True, True)
    assert ("relay", RELAYS[0]) in spent.ahead
    assert RELAYS[0] in spent.day
