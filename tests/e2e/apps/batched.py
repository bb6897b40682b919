"""The app of `test_batches.py`: the jobs of `apps/jobs.py`, and batch handlers that write down what happens to each job."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from tests.e2e._history import HISTORY, write
from tests.e2e.apps import jobs

from tidewheel import App, Batch, BatchItem


def build(url: str) -> App:
    """The app on a store. No job is given up for the workers it loses, and few for their failures."""
    app = jobs.build(url, crashes=100, attempts=1000)
    app.task(batch=Batch(20, wait="0.2s", least=5, key=lambda items: int(items * 1000) % 3), max_crashes=100)(pack)
    app.task(batch=Batch(8, wait="0.1s"), max_crashes=100)(load)
    return app


async def pack(items: list[BatchItem[float]]) -> list[str | BaseException]:
    """Async; each item says how long it takes, and every seventh attempt fails."""
    note("start", items)
    try:
        await asyncio.sleep(max(item.value for item in items))
    except asyncio.CancelledError:
        note("cut", items)
        raise
    return answers(items)


def load(items: list[BatchItem[float]]) -> list[str | BaseException]:
    """The same in a thread."""
    note("start", items)
    time.sleep(max(item.value for item in items))
    return answers(items)


def answers(items: list[BatchItem[float]]) -> list[str | BaseException]:
    found: list[str | BaseException] = []
    for number, item in enumerate(items):
        bad = item.job.attempt == 1 and number % 7 == 3
        note("fail" if bad else "end", [item])
        found.append(ValueError("fails at first") if bad else item.job.fence)
    return found


def note(what: str, items: list[BatchItem[Any]]) -> None:
    for item in items:
        job = item.job
        line = {"job": job.id, "kind": job.kind, "attempt": job.attempt, "epoch": job.epoch, "worker": os.getpid()}
        write(os.environ[HISTORY], what=what, **line)


if jobs.STORE in os.environ:
    app = build(os.environ[jobs.STORE])
