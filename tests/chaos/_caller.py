"""The work of a campaign, and callers who repeat every order until they have an answer."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any, Final

from tidewheel import App, JobHandle, PreparedJob, StoreError

AHEAD: Final = 60
"""Jobs that wait, run or are scheduled, about."""
LIVE: Final = frozenset({"available", "parked", "running", "scheduled", "retryable"})
_KINDS: Final = {
    "hop": 25, "narrow": 15, "frail": 5, "step": 20, "crunch": 10, "shaky": 5, "sleepy": 5, "block": 3, "tell": 12,
}  # fmt: skip
_LANES: Final = 4
_FAMILIES: Final = 0.1
"""Part of the orders."""


class Caller:
    """Gives orders to an app; `note` writes in the history what was answered."""

    def __init__(self, app: App, note: Callable[..., None]) -> None:
        self.app = app
        self.given = 0
        self.repeats = 0
        """Orders that were given again because no answer came."""
        self._note = note

    async def give(self, prepared: PreparedJob[Any]) -> JobHandle[Any]:
        """Until there is an answer; a prepared job has its id, so a repeat makes no second one."""
        while True:
            try:
                handle = await self.app.enqueue_graph(prepared)
            except StoreError as error:
                check_passes(error)
                self.repeats += 1
                await asyncio.sleep(0.1)
            else:
                self._told(prepared)
                return handle

    def _told(self, prepared: PreparedJob[Any]) -> None:
        for child in prepared.children:
            self._told(child)
        self.given += 1
        self._note("enqueued", job=prepared.id, children=[child.id for child in prepared.children])


class Feed:
    """Keeps a caller busy with jobs of all kinds. The dice decide which, the store how fast."""

    def __init__(self, caller: Caller, dice: random.Random, lease: float) -> None:
        self._caller = caller
        self._dice = dice
        self._lease = lease
        self._numbers = itertools.count()

    async def run(self) -> None:
        """Keep so much work about that there is always some waiting."""
        while True:
            try:
                about = await living(self._caller.app)
                for _ in range(AHEAD - about):
                    handle = await self._caller.give(self._order())
                    if self._dice.random() < 0.02:
                        await handle.cancel()
            except StoreError as error:
                check_passes(error)
            await asyncio.sleep(0.1)

    def _order(self) -> PreparedJob[Any]:
        """One job, or a few and one that waits for them."""
        if self._dice.random() < _FAMILIES:
            some = [self._job() for _ in range(self._dice.randint(1, 4))]
            return self._job().after(*some, on_failure=self._dice.choice(("fail", "ignore")))
        return self._job()

    def _job(self) -> PreparedJob[Any]:
        dice = self._dice
        (kind,) = dice.choices(list(_KINDS), list(_KINDS.values()))
        seconds = dice.choice((0.0, dice.uniform(0, 0.2), dice.uniform(0, 1.0)))
        if kind in ("hop", "frail", "step") and dice.random() < 0.1:
            # Long enough to be still running elsewhere when a frozen worker comes back with a result of its own.
            seconds = dice.uniform(1.0, 3.0) * self._lease
        arguments: tuple[Any, ...] = (seconds,)
        if kind == "shaky":
            arguments = (dice.randint(1, 2),)
        elif kind == "narrow":
            arguments = (seconds, dice.randrange(_LANES))
        elif kind == "tell":
            arguments = ("x" * dice.randint(1, 2000),)
        options: dict[str, Any] = {"priority": dice.randint(1, 1000), "tags": [f"order-{next(self._numbers)}"]}
        if dice.random() < 0.15:
            options["delay"] = dice.uniform(0, 2.0)
        prepared: PreparedJob[Any] = self._caller.app.tasks[kind].options(**options).job(*arguments)
        return prepared


async def living(app: App) -> int:
    """How many jobs have not ended."""
    return sum(
        sum(count for state, count in queue.counts.items() if state in LIVE) for queue in await app.queues.list()
    )


def check_passes(error: StoreError) -> None:
    """A store that is away or full is asked again; every other answer is a bug, and ends the campaign."""
    if not error.retriable:
        raise error
