"""How quick the broker is: from publishing to the actor's first line on an idle queue, hints published a second, hints drained a second.

    python -m tests.benchmarks.broker_speed [SAMPLES] [SECONDS BETWEEN THEM]

Needs nothing running: starts a Valkey and one worker process of its own. Stock dramatiq needs 220 ms (p50) and 620 ms (p99).
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.broker_app.bench import a_broker, a_message, eventually
from workers.broker import PortcullisBroker
from workers.demo.valkey_server import valkey

MANY = 4000


def main(samples: int = 60, pause: float = 0.5) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as url:
        diary = Path(folder) / "diary"
        worker = _start(url, diary)
        broker = a_broker(url, allowed=frozenset({"say", "clock"}))
        broker.declare_queue("enforce")
        try:
            eventually(lambda: broker.depth("enforce").consumers == 1)
            _idle(broker, diary, samples, pause)
            _busy(broker, diary)
        finally:
            broker.close()
            worker.terminate()
            worker.wait(20)


def _start(url: str, diary: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dramatiq", "tests.integration.broker_app.app:broker", "--processes", "1", "--threads", "4"]
    return subprocess.Popen([*command, "--skip-logging"], env=os.environ | {"REDIS_URL": url, "DIARY": str(diary)})


def _idle(broker: PortcullisBroker, diary: Path, samples: int, pause: float) -> None:
    for _ in range(samples):
        time.sleep(random.uniform(0.5, 1.5) * pause)
        broker.enqueue(a_message("clock", time.perf_counter()))
    time.sleep(0.5)
    took = sorted(1000 * float(line.split()[1]) for line in diary.read_text().splitlines() if line.startswith("took"))
    half, most = took[len(took) // 2], took[int(len(took) * 0.99)]
    sys.stdout.write(f"idle: p50 {half:.2f} ms, p99 {most:.2f} ms, worst {took[-1]:.2f} ms of {len(took)}\n")


def _busy(broker: PortcullisBroker, diary: Path) -> None:
    before = len(diary.read_text())
    messages = [a_message("say", "x") for _ in range(MANY)]
    begin = time.perf_counter()
    broker.enqueue_many(messages)
    published = time.perf_counter() - begin
    eventually(lambda: len(diary.read_text()) >= before + 2 * MANY, seconds=60)
    drained = time.perf_counter() - begin
    sys.stdout.write(f"busy: {MANY / published:,.0f} published/s, {MANY / drained:,.0f} drained/s by one process\n")


if __name__ == "__main__":
    main(*(kind(given) for kind, given in zip((int, float), sys.argv[1:], strict=False)))
