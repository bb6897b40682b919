"""The app of `test_batches.py`: the jobs of `apps/jobs.py`, and batch handlers that write down what happens to each job."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from typing import Any

from tests.e2e._history import HISTORY, write
from tests.e2e.apps import jobs

from tidewheel import App, Batch, BatchItem

PACK = Batch(20, wait="0.2s", least=5, key=lambda items: int(items * 1000) % 3)
LOAD = Batch(8, wait="0.1s")


def build(url: str) -> App:
    """The app on a store. No job is given up for the workers it loses, and few for their failures."""
    app = jobs.build(url, crashes=100, attempts=1000)
    app.task(batch=PACK, max_crashes=100)(pack)
    app.task(batch=LOAD, max_crashes=100)(load)
    app.task(batch=LOAD, max_crashes=100, run_in="process")(press)
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


def press(items: list[BatchItem[float]]) -> list[str | BaseException]:
    """The same in a process of its own."""
    return load(items)


def answers(items: list[BatchItem[float]]) -> list[str | BaseException]:
    found: list[str | BaseException] = []
    for number, item in enumerate(items):
        bad = item.job.attempt == 1 and number % 7 == 3
        note("fail" if bad else "end", [item])
        found.append(ValueError("fails at first") if bad else item.job.fence)
    return found


def note(what: str, items: list[BatchItem[Any]]) -> None:
    child = multiprocessing.parent_process()
    worker = os.getpid() if child is None else child.pid
    for item in items:
        job = item.job
        line = {"job": job.id, "kind": job.kind, "attempt": job.attempt, "epoch": job.epoch, "worker": worker}
        write(os.environ[HISTORY], what=what, call=items[0].job.fence, value=item.value, **line)


if jobs.STORE in os.environ:
    app = build(os.environ[jobs.STORE])
