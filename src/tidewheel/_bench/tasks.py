"""The jobs of the bench: one that does nothing, also under limits that never bind, and one that notes when it started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from tidewheel import FOREVER, App, Limit, LimitRow, PreparedJob, Rate, Retention, Task

QUEUE: Final = "tidewheel-bench"
KEYS: Final = 10_000


class Bench:
    """An app for the bench. Finished jobs are kept: pruning them would be other work than is measured."""

    def __init__(self, url: str) -> None:
        self.app = App(url, retention=Retention(FOREVER, FOREVER))
        self.ran = 0
        self.noop: Task[[], None] = self.app.task(name="bench.noop", queue=QUEUE)(self._noop)
        self.stamp: Task[[float], float] = self.app.task(name="bench.stamp", queue=QUEUE)(self._stamp)

    def limited(self) -> dict[str, Task[..., Any]]:
        """Tasks that do nothing under a limit that never binds, by what is measured with them. The first is what to compare
        the others with: the same job, with its argument, and no limit.
        """
        task, much = self.app.task, 1_000_000
        return {
            "no limit": task(name="bench.unlimited", queue=QUEUE)(self._keyed),
            "a limit": task(name="bench.limited", queue=QUEUE, concurrency=much)(self._keyed),
            f"a limit by key, {KEYS:,} keys": task(
                name="bench.keyed", queue=QUEUE, concurrency=Limit(much, key="args.key")
            )(self._keyed),
            "a rate": task(name="bench.rated", queue=QUEUE, rate=Rate(much, per=1, algorithm="bucket"))(self._keyed),
        }

    async def forget_limits(self) -> None:
        """Leave none of them in the store."""
        store = await self.app.opened()
        names = [name for task in self.app.tasks.values() for name, _ in task.limits]
        await store.put_limits([LimitRow(name=name) for name in names], declared=True)

    async def _noop(self) -> None:
        self.ran += 1

    async def _stamp(self, sent: float) -> float:
        return time.time() - sent

    async def _keyed(self, key: int) -> None:
        self.ran += key >= 0


def spread(task: Task[..., Any], jobs: int) -> Iterator[PreparedJob[Any]]:
    """So many jobs, the keys in turn."""
    return (task.job(number % KEYS) for number in range(jobs))
