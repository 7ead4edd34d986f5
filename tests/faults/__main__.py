"""`make faults MINUTES=20 SEED=7`: break everything for a while, and say whether the invariants held."""

import argparse
import asyncio
import secrets
import sys
from pathlib import Path

from tests.faults.nemesis import torment
from workers.demo.embedded import private_directory


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--members", type=int, default=4000)
    parser.add_argument("--small", type=int, default=20)
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}: {given.minutes:g} minutes of faults", flush=True)  # noqa: T201 -- this is a command
    with private_directory() as folder:
        folder.chmod(0o711)  # PostgreSQL may run as another account
        outcome = asyncio.run(
            torment(
                folder / "ground", seed, seconds=given.minutes * 60, members=given.members, small=given.small, is_long=given.minutes > 3
            )
        )
        if outcome.violations or outcome.unreached:
            _keep(folder / "ground", seed, outcome.told)
    print(outcome)  # noqa: T201 -- as above
    return 1 if outcome.violations or outcome.unreached else 0


def _keep(ground: Path, seed: int, told: list[str]) -> None:
    """Leave the logs of a failure where they can be read."""
    kept = Path("var") / "faults" / str(seed)
    kept.mkdir(parents=True, exist_ok=True)
    for log in (*ground.glob("*.log"), *ground.glob("*.jsonl")):
        (kept / log.name).write_bytes(log.read_bytes())
    (kept / "told.txt").write_text("\n".join(told))
    print(f"logs are in {kept}")  # noqa: T201 -- as above


if __name__ == "__main__":
    sys.exit(main())
