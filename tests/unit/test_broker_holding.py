"""A token is held by a worker thread, or owed to Redis, or gone."""

import threading
import time

from workers.broker.holding import Holding


def test_tokens_are_never_given_twice() -> None:
    holding = Holding()
    assert [holding.reserve(4), holding.reserve(0), holding.reserve(2), holding.reserve(1)] == [0, 4, 4, 6]


def test_a_finished_message_makes_room_and_is_owed_until_settled() -> None:
    holding = Holding()
    holding.start("1")
    assert holding.room(1) == 0
    holding.finish("1")
    assert (holding.room(1), holding.unsettled, holding.held) == (1, frozenset({"1"}), frozenset({"1"}))
    holding.settled(["1"])
    assert not holding.held


def test_a_returned_message_makes_room_and_is_owed_to_nobody() -> None:
    holding = Holding()
    holding.start("1")
    holding.returned(["1"])
    assert (holding.room(1), holding.held) == (1, frozenset())


def test_waiting_for_room_ends_when_a_message_is_finished() -> None:
    holding = Holding()
    holding.start("1")
    begin = time.monotonic()
    threading.Timer(0.05, holding.finish, ["1"]).start()
    holding.wait_for_room(1, seconds=10)
    assert holding.room(1) == 1
    assert time.monotonic() - begin < 9
