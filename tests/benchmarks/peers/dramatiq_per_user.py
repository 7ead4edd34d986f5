"""Peer: the same in plain dramatiq, a task per user, with its own retries and defaults.

dramatiq tests.benchmarks.peers.dramatiq_per_user
"""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.benchmarks.peers import work

broker = RedisBroker(url=os.environ["REDIS_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="get_ready")
def get_ready() -> None:
    work.note("ready")


@dramatiq.actor(actor_name="enforce_member")
def enforce_member(organization_id: int, user_id: int) -> None:
    work.deal_with(organization_id, user_id)


@dramatiq.actor(actor_name="enforce_organization", time_limit=3_600_000)
def enforce_organization(organization_id: int) -> None:
    for user_id in work.members_of(organization_id):
        enforce_member.send(organization_id, user_id)
