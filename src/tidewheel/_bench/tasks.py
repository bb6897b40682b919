"""The jobs of the bench: one that does nothing, one that notes when it started."""

from __future__ import annotations

import time
from typing import Final

from tidewheel import FOREVER, App, Retention, Task

QUEUE: Final = "tidewheel-bench"


class Bench:
    """An app for the bench. Finished jobs are kept: pruning them would be other work than is measured."""

    def __init__(self, url: str) -> None:
        self.app = App(url, retention=Retention(FOREVER, FOREVER))
        self.ran = 0
        self.noop: Task[[], None] = self.app.task(name="bench.noop", queue=QUEUE)(self._noop)
        self.stamp: Task[[float], float] = self.app.task(name="bench.stamp", queue=QUEUE)(self._stamp)

    async def _noop(self) -> None:
        self.ran += 1

    async def _stamp(self, sent: float) -> float:
        return time.time() - sent
