"""The traffic light: a rule of facts, the worst first, each cause a sentence that leads to a page."""

from dataclasses import replace

import pytest

from workers.console.light import Colour, Facts, OpenBreaker, QueueState, causes, sentence


def a_queue(name: str = "enforce", **facts: object) -> QueueState:
    quiet = QueueState(name=name, due=0, later=0, in_flight=0, dead=0, workers=1, quarantined=0, oldest_free_seconds=None, ended_lately=0)
    return replace(quiet, **facts)  # type: ignore[arg-type]


def some_facts(*queues: QueueState, **others: object) -> Facts:
    return replace(Facts(queues=queues or (a_queue(), a_queue("notify")), running=0, has_conductor=True), **others)  # type: ignore[arg-type]


def test_a_broken_promise_is_red_and_first() -> None:
    found = causes(some_facts(broken=["I2, run 7: 3 members"], pauses=["everything"]))
    assert [(one.colour, one.href) for one in found] == [(Colour.RED, "/audit"), (Colour.YELLOW, "/emergency")]
    assert found[0].sentence == "The auditor found a promise broken: I2, run 7: 3 members."


def colours(facts: Facts) -> list[Colour]:
    return [cause.colour for cause in causes(facts)]


def test_green_says_whether_anything_runs() -> None:
    assert sentence(some_facts(), []) == "Nothing is running, and nothing needs you."
    assert sentence(some_facts(running=2), []) == "2 runs under way, and nothing needs you."
    assert causes(some_facts(running=2)) == []


@pytest.mark.parametrize(
    ("facts", "colour", "words"),
    [
        (some_facts(a_queue(due=3), has_conductor=False), Colour.RED, "No conductor leads"),
        (some_facts(has_conductor=False), Colour.YELLOW, "No conductor leads"),
        (some_facts(a_queue("notify", workers=0, due=4)), Colour.RED, "No mailer is alive, so letters don't leave: 4 batches due"),
        (some_facts(a_queue("enforce", workers=0)), Colour.YELLOW, "No enforcer is alive; nothing waits"),
        (some_facts(a_queue(dead=1)), Colour.RED, "1 batch of sessions to end is dead and waits for you."),
        (
            some_facts(a_queue("notify", dead=2, dead_because="no template")),
            Colour.RED,
            "2 batches of letters are dead and wait for you: no template",
        ),
        (some_facts(a_queue(due=1, oldest_free_seconds=130)), Colour.YELLOW, "has waited for 2 min 10 s"),
        (some_facts(a_queue(due=1, oldest_free_seconds=700)), Colour.RED, "Queue enforce stands still"),
        (some_facts(breakers=[OpenBreaker(scope="relay", subject="mx:25", cause="no answer")]), Colour.RED, "The relay mx:25 is cut off"),
        (
            some_facts(breakers=[OpenBreaker(scope="domain", subject="a.example", cause="9 of 9 refused")]),
            Colour.YELLOW,
            "Mail domain a.example",
        ),
        (some_facts(pauses=["run 7"]), Colour.YELLOW, "Run 7 is paused."),
        (some_facts(slow_workers=["here:1"]), Colour.YELLOW, "here:1 answers late"),
        (some_facts(silent_workers=1), Colour.YELLOW, "1 worker fell silent"),
        (some_facts(a_queue(quarantined=2)), Colour.YELLOW, "2 messages could not be trusted and were put aside."),
        (some_facts(a_queue(later=1), is_redis_known=False), Colour.RED, "Redis can't be asked"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_thing_that_is_wrong_is_said(facts: Facts, colour: Colour, words: str) -> None:
    [cause] = causes(facts)
    assert cause.colour is colour
    assert words in cause.sentence
    assert cause.sentence.endswith((".", "no template"))
    assert cause.href.startswith("/")


def test_a_queue_that_moves_does_not_stand_still() -> None:
    assert causes(some_facts(a_queue(due=9, oldest_free_seconds=3_000, ended_lately=4))) == []


def test_the_worst_comes_first() -> None:
    facts = some_facts(a_queue(quarantined=1), a_queue("notify", dead=1), pauses=["everything"])
    assert colours(facts) == [Colour.RED, Colour.YELLOW, Colour.YELLOW]
    assert "dead" in sentence(facts, causes(facts))
