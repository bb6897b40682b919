"""The app of `test_graphs.py`: jobs that wait for others, and jobs that meet others with the same key."""

from __future__ import annotations

import asyncio
import os

from tests.e2e.apps.jobs import STORE, note

from tidewheel import FOREVER, App, KeepLast, Retention, RetryPolicy, Unique, current_job


def build(url: str) -> App:
    """The app on a store. No job is given up for the workers it loses, and none is pruned."""
    app = App(url, retention=Retention(FOREVER, FOREVER), retry=RetryPolicy(100))
    app.task(max_crashes=100)(part)
    app.task(max_crashes=100)(total)
    app.task(max_crashes=100, unique=Unique("args.name"))(single)
    app.task(max_crashes=100, keep_last=KeepLast("args.name"))(newest)
    return app


async def part(number: int, seconds: float) -> int:
    """A child."""
    note("start")
    await asyncio.sleep(seconds)
    note("end")
    return number


async def total(seconds: float) -> int:
    """A parent: what its children gave, together."""
    note("start")
    children = await current_job().children()
    await asyncio.sleep(seconds)
    note("end")
    return sum(child.result for child in children)


async def single(name: str, seconds: float) -> None:
    """One of a name lives."""
    note("start", name=name)
    await asyncio.sleep(seconds)
    note("end")


async def newest(name: str, number: int, seconds: float) -> int:
    """One of a name runs, and at most one waits."""
    note("start", name=name)
    await asyncio.sleep(seconds)
    note("end")
    return number


if url := os.environ.get(STORE):
    app = build(url)
