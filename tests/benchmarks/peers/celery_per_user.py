"""Peer: a Celery task per user, a new SMTP connection each. What most teams would write.

celery --app tests.benchmarks.peers.celery_per_user worker
"""

import os

from celery import Celery

from tests.benchmarks.peers import work

app = Celery("peer", broker=os.environ["REDIS_URL"])
# Celery has no types, which is what the three comments below are about.
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@app.task(name="get_ready")  # type: ignore[untyped-decorator]
def get_ready() -> None:
    work.note("ready")


@app.task(name="enforce_member")  # type: ignore[untyped-decorator]
def enforce_member(organization_id: int, user_id: int) -> None:
    work.deal_with(organization_id, user_id)


@app.task(name="enforce_organization")  # type: ignore[untyped-decorator]
def enforce_organization(organization_id: int) -> None:
    for user_id in work.members_of(organization_id):
        enforce_member.delay(organization_id, user_id)
