"""What a job costs in CPU time by what it must pass: `python -m tests.scale.passes [JOBS] [ROUNDS]`.

Enqueue and drain on a fresh SQLite file, one process, no-op jobs, in turns; the median of the rounds in microseconds a job.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import tempfile
from typing import Any, Final, NamedTuple

from tidewheel import App, Breaker, Limit

MANY: Final = 2000


class Way(NamedTuple):
    """The options of a task, and how many keys its jobs have."""

    options: dict[str, Any]
    keys: int = MANY


WAYS: Final = {
    "nothing": Way({}),
    "a limit": Way({"concurrency": Limit(1_000_000)}),
    "a limit by key": Way({"concurrency": Limit(1_000_000, key="args.key")}),
    "one slot by key": Way({"concurrency": Limit(1, key="args.key")}),
    "a breaker": Way({"breaker": Breaker(5, within="1m", open_for="30s")}),
    "a breaker by key": Way({"breaker": Breaker(5, within="1m", open_for="30s", key="args.key")}),
    'order="block"': Way({"concurrency": Limit(1, key="args.key", order="block")}),
    'order="skip"': Way({"concurrency": Limit(1, key="args.key", order="skip")}),
    'order="block", 20 keys': Way({"concurrency": Limit(1, key="args.key", order="block")}, 20),
}


async def work(key: int) -> None: ...


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


async def once(way: Way, jobs: int) -> tuple[float, float]:
    """CPU time of an enqueue and of a drain, a job."""
    with tempfile.TemporaryDirectory() as folder:
        async with App(f"sqlite:///{folder}/jobs.db") as app:
            task: Any = app.task(**way.options)(work)
            begin = cpu()
            await app.enqueue_many(task.job(number % way.keys) for number in range(jobs))
            filled = cpu()
            await app.worker(concurrency=100, drain_and_exit=True, poll="50ms").run()
            return (filled - begin) / jobs, (cpu() - filled) / jobs


def main(jobs: int = 6000, rounds: int = 3) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            found[name].append(asyncio.run(once(way, jobs)))
    for name, costs in found.items():
        enqueue, drain = (statistics.median(part) for part in zip(*costs, strict=True))
        sys.stdout.write(f"{name:24} enqueue {enqueue:5.0f}  claim, run, settle {drain:5.0f}\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
