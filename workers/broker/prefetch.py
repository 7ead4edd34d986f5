"""A process takes no more messages of a queue than it has threads.

dramatiq would take twice as many, to hide the wait for the next one. But a message is a batch of hundreds of members, so one process
would hold work while another one idles, and a bell makes the wait a fraction of a millisecond.
"""

from dramatiq import Broker, Middleware, Worker


class Prefetch(Middleware):
    """Narrows the worker's own number before its consumers start; a smaller `dramatiq_queue_prefetch` still counts."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Narrow it."""
        worker.queue_prefetch = min(worker.queue_prefetch, worker.worker_threads)
