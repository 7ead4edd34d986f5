"""Whatever several consumers do in whatever order: each message is in exactly one place until it is settled."""

from collections import Counter

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from workers.broker.redis_queue import RedisQueue

CONSUMERS = st.sampled_from(["a", "b"])
PAYLOADS = st.lists(st.sampled_from([b"1", b"2", b"3"]), min_size=1, max_size=5)


class Queue(RuleBasedStateMachine):
    """The model: a bag of messages pushed and not settled. Equal messages are allowed, as after a replay."""

    def __init__(self, client: "redis.Redis") -> None:
        super().__init__()
        client.flushdb()
        self.client = client
        self.queue = RedisQueue(client, namespace="model", name="q", max_bytes=100)
        self.owed: Counter[bytes] = Counter()
        self.hands: dict[str, dict[str, bytes]] = {"a": {}, "b": {}}
        self.next_token = 0

    @rule(messages=PAYLOADS)
    def push(self, messages: list[bytes]) -> None:
        self.queue.push(messages)
        self.owed.update(messages)

    @rule(consumer=CONSUMERS, wanted=st.integers(0, 4))
    def fetch(self, consumer: str, wanted: int) -> None:
        for taken in self.queue.fetch(consumer, wanted=wanted, first_token=self.next_token).messages:
            self.hands[consumer][taken.token] = taken.data
        self.next_token += wanted

    @rule(consumer=CONSUMERS, data=st.data())
    def settle(self, consumer: str, data: st.DataObject) -> None:
        for token in self._some(consumer, data):
            self.queue.settle(consumer, [token])
            self.owed.subtract([self.hands[consumer].pop(token)])

    @rule(consumer=CONSUMERS, data=st.data())
    def give_back(self, consumer: str, data: st.DataObject) -> None:
        tokens = self._some(consumer, data)
        assert self.queue.give_back(consumer, tokens) == len(tokens)
        for token in tokens:
            del self.hands[consumer][token]

    @rule()
    def recover(self) -> None:
        count = self.queue.recover(dead_after_ms=0)
        assert count == sum(len(hand) for hand in self.hands.values())
        self.hands = {"a": {}, "b": {}}

    @rule(consumer=CONSUMERS)
    def settle_what_was_recovered_from_under_it(self, consumer: str) -> None:
        self.queue.settle(consumer, [str(self.next_token + 1)])

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        in_hands: Counter[bytes] = Counter()
        for consumer, hand in self.hands.items():
            assert self.queue.tokens(consumer) == set(hand)
            in_hands.update(hand.values())
        waiting = Counter(self.client.lrange("model:q", 0, -1))
        assert waiting + in_hands == +self.owed

    @invariant()
    def a_bell_rings_while_something_waits(self) -> None:
        assert self.client.exists("model:q.bell") or not self.client.exists("model:q")

    def _some(self, consumer: str, data: st.DataObject) -> list[str]:
        held = sorted(self.hands[consumer])
        return data.draw(st.lists(st.sampled_from(held), unique=True)) if held else []


def test_no_message_is_lost_or_doubled_in_redis(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:

        class OnThisServer(Queue):
            def __init__(self) -> None:
                super().__init__(client)

        thorough = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        run_state_machine_as_test(OnThisServer, settings=thorough)
