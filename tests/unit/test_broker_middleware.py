"""What is switched on, in which order, and that nothing else is."""

import base64
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq import Actor, Message

from jobs.keys import KeyRing
from workers.broker import PortcullisBroker, UnpublishableError, open_broker


@pytest.fixture
def broker() -> PortcullisBroker:
    ring = KeyRing.parse("a:" + base64.b64encode(b"a" * 32).decode())
    return open_broker(redis_url="redis://127.0.0.1:1/0", key_ring=ring, allowed_actors=frozenset({"note"}), quarantine=lambda kept: None)


def declare(broker: PortcullisBroker, **options: Any) -> Actor[Any, Any]:
    return dramatiq.actor(broker=broker, actor_name="note", queue_name="enforce", **options)(print)


def test_the_middleware_is_exactly_this_in_this_order(broker: PortcullisBroker) -> None:
    names = [type(each).__name__ for each in broker.middleware]
    assert names == ["EventLoop", "WatchLoop", "WatchParent", "OneShutdown", "Prefetch", "Drain"]


@pytest.mark.parametrize("option", ["max_retries", "time_limit", "max_age", "on_success", "pipe_ignore", "throws", "store_results"])
def test_no_actor_can_ask_for_a_feature_that_is_off(broker: PortcullisBroker, option: str) -> None:
    with pytest.raises(ValueError, match=option):
        declare(broker, **{option: 1})


def test_there_is_no_delay_queue(broker: PortcullisBroker) -> None:
    declare(broker)
    assert broker.get_declared_queues() == {"enforce"}
    assert broker.get_declared_delay_queues() == set()


@pytest.mark.parametrize("delay", [0, 1000, timedelta(minutes=1)])
def test_a_delayed_message_is_refused(broker: PortcullisBroker, delay: int | timedelta) -> None:
    actor = declare(broker)
    with pytest.raises(UnpublishableError, match="next_at"):
        actor.send_with_options(args=("x",), delay=delay)


@pytest.mark.parametrize("option", ["on_success", "on_failure", "pipe_target", "eta", "group_callbacks", "retries"])
def test_a_message_with_an_option_is_refused(broker: PortcullisBroker, option: str) -> None:
    broker.declare_queue("enforce")
    message: Message[None] = Message(queue_name="enforce", actor_name="note", args=(), kwargs={}, options={option: "note"})
    with pytest.raises(UnpublishableError, match=option):
        broker.enqueue(message)


def test_a_message_for_an_actor_that_is_not_allowed_is_refused(broker: PortcullisBroker) -> None:
    broker.declare_queue("enforce")
    with pytest.raises(UnpublishableError, match="allow-list"):
        broker.enqueue(Message(queue_name="enforce", actor_name="other", args=(), kwargs={}, options={}))


def test_publishing_without_redis_fails_as_a_connection_error(broker: PortcullisBroker) -> None:
    broker.declare_queue("enforce")
    with pytest.raises(dramatiq.BrokerConnectionError):
        broker.enqueue(Message(queue_name="enforce", actor_name="note", args=(), kwargs={}, options={}))
