"""The app of a campaign's workers: that of the end-to-end tests, with what the campaign does to its store and its clock."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from tests.chaos.faults.calls import CALLS
from tests.chaos.faults.clock import CLOCK, WrongClock
from tests.e2e._history import HISTORY, write
from tests.e2e.apps import jobs

from tidewheel import App, DeadLetter, Limit, current_job
from tidewheel.testing.faults import Fault, FaultPlan, inject

SLOTS: Final = {"narrow": 3, "lane": 1}
"""Of the limits of narrow jobs."""


async def narrow(seconds: float, lane: int) -> str:
    """A job that may not run beside too many like it, nor beside one of its lane."""
    with jobs.noted():
        await asyncio.sleep(seconds)
    return current_job().fence


async def tell(dead: DeadLetter) -> None:
    """Hears of the jobs that were given up."""
    with jobs.noted():
        pass


def build(url: str, plan: FaultPlan | None, history: str) -> App:
    """The app on a store. Of all that a campaign does to workers, only frail jobs become dead letters."""
    clock = os.environ.get(CLOCK)
    made = jobs.build(url, crashes=100, attempts=1000, env=None if clock is None else WrongClock.env(clock))
    made.task(name="frail", max_crashes=2)(jobs.hop)
    limits = [Limit(SLOTS["narrow"], name="narrow"), Limit(SLOTS["lane"], key="args.lane", name="lane")]
    made.task(name="narrow", max_crashes=100, concurrency=limits)(narrow)
    made.on_dead_letter(tell)

    def note(call: str, fault: Fault) -> None:
        write(history, what="fault", call=call, fault=fault, worker=os.getpid())

    if plan is not None:
        inject(made, plan, told=note)
    return made


if jobs.STORE in os.environ:
    given = FaultPlan.decode(os.environ[CALLS]) if CALLS in os.environ else None
    app = build(os.environ[jobs.STORE], given, os.environ[HISTORY])
