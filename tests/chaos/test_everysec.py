"""Redis that saves once a second, and is killed: nothing older than what it promises may be missing."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from tests.chaos._caller import check_passes
from tests.chaos._grounds import NEVER_REWRITTEN
from tests.e2e._records import Records
from tests.e2e.apps import jobs
from tests.servers._process import NoServer, missing
from tests.servers.redis import Redis

from tidewheel import App, StoreError

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(60)]
MAY_LOSE = 2.0
"""Seconds before the kill whose writes may be gone: the server writes once a second, and lets a slow disk be late by one."""
KILLS = 3


async def test_a_kill_costs_at_most_the_last_moments() -> None:
    server = Redis("valkey", settings={**NEVER_REWRITTEN, "save": "", "appendonly": "yes", "appendfsync": "everysec"})
    try:
        server.start()
        answered: dict[str, float] = {}
        kills: list[float] = []
        async with jobs.build(server.url) as app:
            calling = asyncio.create_task(_call(app, answered))
            for _ in range(KILLS):
                await asyncio.sleep(1.2)
                kills.append(time.monotonic())
                await asyncio.to_thread(server.stop, signal.SIGKILL)
                await asyncio.to_thread(server.start)
            calling.cancel()
            there = (await Records.read(app)).rows
    except NoServer as error:
        missing(error)
        raise
    finally:
        server.remove()
    lost = [at for id, at in answered.items() if id not in there]
    assert len(answered) > 100
    assert all(any(0 <= kill - at <= MAY_LOSE for kill in kills) for at in lost), f"{len(lost)} of {len(answered)} lost"


async def _call(app: App, answered: dict[str, float]) -> None:
    while True:
        try:
            (handle,) = await app.enqueue_many([app.tasks["tell"].job("x")])
            answered[handle.id] = time.monotonic()
        except StoreError as error:
            check_passes(error)
            await asyncio.sleep(0.01)
