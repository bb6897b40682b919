"""The app of `test_limits.py`: a task with three limits, whose bodies write down when they run."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from tests.e2e.apps.jobs import STORE, note

from tidewheel import FOREVER, App, Limit, Rate, Retention, RetryPolicy

SLOTS: Final = 6
SLOTS_A_TENANT: Final = 2
COUNT: Final = 25
PER: Final = 0.5


def build(url: str) -> App:
    """The app on a store. No job is given up for the workers it loses, and none is pruned."""
    app = App(url, retention=Retention(FOREVER, FOREVER), retry=RetryPolicy(100))
    app.task(
        max_crashes=100,
        concurrency=[Limit(SLOTS, name="all"), Limit(SLOTS_A_TENANT, key="args.tenant", name="tenant")],
        rate=Rate(COUNT, per=PER, name="starts"),
    )(work)
    return app


async def work(tenant: str, seconds: float) -> str:
    """Runs for a while."""
    note("start", tenant=tenant)
    await asyncio.sleep(seconds)
    note("end")
    return tenant


if url := os.environ.get(STORE):
    app = build(url)
