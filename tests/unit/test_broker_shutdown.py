"""One request to end a worker, however often the signal arrives."""

from workers.broker.shutdown import ECHO_SECONDS, without_echoes


def heard(*moments: float) -> int:
    calls: list[int] = []
    clock = iter(moments)
    handle = without_echoes(lambda number, _frame: calls.append(number), clock=lambda: next(clock))
    for _ in moments:
        handle(15, None)
    return len(calls)


def test_an_echo_is_not_heard() -> None:
    assert heard(0.0, 0.001, ECHO_SECONDS) == 1


def test_a_second_request_after_a_while_is_meant() -> None:
    assert heard(0.0, ECHO_SECONDS + 0.01) == 2
