"""Peer: no queue at all, one loop over everybody, as a management command or a request would do it.

python -m tests.benchmarks.peers.one_loop ORGANIZATION
"""

import sys

from tests.benchmarks.peers import work


def main(organization_id: int) -> None:
    work.note("started")
    for user_id in work.members_of(organization_id):
        work.deal_with(organization_id, user_id)


if __name__ == "__main__":
    main(int(sys.argv[1]))
