"""What faults happen to: the workers of a campaign, the server, and the history that is written about it all."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.e2e._harness import Site, WorkerProcess
from tests.servers._process import Server


class Scene:
    """Workers in numbered slots, and what the site of the campaign offers."""

    def __init__(self, site: Site, slots: int, lease: float, server: Server | None = None) -> None:
        self.site = site
        self.lease = lease
        self.server = server
        self.slots: list[WorkerProcess | None] = [None] * slots
        self.frozen: set[int] = set()
        """Process ids of the workers that are stopped (SIGSTOP) right now."""

    def note(self, what: str, **more: Any) -> None:
        """Add a line to the history."""
        self.site.note(what, **more)

    def fill(self, start: Callable[[int], WorkerProcess]) -> None:
        """Start a worker in every slot whose worker has gone."""
        for number, worker in enumerate(self.slots):
            if worker is None or not worker.alive:
                self.slots[number] = start(number)

    def workers(self) -> list[WorkerProcess]:
        """Those that live."""
        return [worker for worker in self.slots if worker is not None and worker.alive]

    def somebody(self, dice: random.Random) -> WorkerProcess | None:
        """A worker that is at work, by chance."""
        working = [one for one in self.workers() if one.pid not in self.frozen and "started: " in one.log]
        return dice.choice(working) if working else None
