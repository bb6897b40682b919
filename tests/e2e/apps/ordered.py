"""The app of `test_order.py`: two tasks whose jobs start one after the other, and write down when they run."""

from __future__ import annotations

import asyncio
import os

from tests.e2e.apps.jobs import STORE, note

from tidewheel import FOREVER, App, Limit, Retention, RetryPolicy, current_job, fixed


def build(url: str) -> App:
    """The app on a store. No job is given up for the workers it loses, and none is pruned."""
    app = App(url, retention=Retention(FOREVER, FOREVER), retry=RetryPolicy(100, fixed("20ms")))
    app.task(max_crashes=100, concurrency=Limit(1, key="args.account", order="block"))(block)
    app.task(max_crashes=100, concurrency=Limit(1, key="args.account", order="skip"))(skip)
    return app


async def block(account: str, seconds: float, fails: bool) -> None:
    """Who comes first keeps the place until it has ended for good."""
    await work(account, seconds, fails)


async def skip(account: str, seconds: float, fails: bool) -> None:
    """Who comes first keeps the place for its attempt."""
    await work(account, seconds, fails)


async def work(account: str, seconds: float, fails: bool) -> None:
    note("start", account=account)
    try:
        await asyncio.sleep(seconds)
    finally:
        note("end")
    if fails and current_job().attempt == 1:
        raise ConnectionError("fails at first")


if url := os.environ.get(STORE):
    app = build(url)
