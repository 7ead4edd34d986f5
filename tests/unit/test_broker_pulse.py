"""Only whoever has been beating without a gap may declare others dead."""

from workers.broker.pulse import DEAD_AFTER_MS, JUDGE_EVERY_SECONDS, Pulse

DEAD_AFTER = DEAD_AFTER_MS / 1000


def a_steady_pulse() -> Pulse:
    pulse = Pulse(0.0)
    for second in range(1, int(DEAD_AFTER)):
        pulse.beat(1000, second)
    return pulse


def test_a_new_consumer_judges_nobody_at_first() -> None:
    assert not Pulse(0.0).may_judge(DEAD_AFTER - 1)


def test_a_steady_consumer_judges_now_and_then() -> None:
    pulse = a_steady_pulse()
    assert pulse.may_judge(DEAD_AFTER)
    assert not pulse.may_judge(DEAD_AFTER + 1)
    assert pulse.may_judge(DEAD_AFTER + JUDGE_EVERY_SECONDS)


def test_after_a_stall_of_redis_it_waits_for_the_others_to_beat_again() -> None:
    pulse = a_steady_pulse()
    pulse.beat(15_000, DEAD_AFTER + 15)
    assert not pulse.may_judge(DEAD_AFTER + 16)
    assert pulse.may_judge(2 * DEAD_AFTER + 15)


def test_after_a_flush_and_after_a_clock_set_back_it_waits_as_well() -> None:
    for gap_ms in (-1, -120_000):
        pulse = a_steady_pulse()
        pulse.beat(gap_ms, DEAD_AFTER)
        assert not pulse.may_judge(DEAD_AFTER + 1)
