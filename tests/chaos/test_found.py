"""What campaigns found, by the smallest test that shows it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from tests.chaos._grounds import HERE

from tidewheel import App, Env, JobState
from tidewheel._model.job import NewJob
from tidewheel._model.worker import Wakeup
from tidewheel._store.redis import RedisStore
from tidewheel._store.redis.connect import connected
from tidewheel._store.redis.wire import Wire

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(30)]


REDIS = [store for store in HERE if store in ("redis", "valkey")]


@pytest.mark.parametrize("ground", REDIS, indirect=True)
async def test_two_who_begin_to_listen_at_once_both_hear(
    new_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who began to listen while the connection for hints was being made was never subscribed."""
    store = RedisStore(new_url(), Env())
    await store.open()
    connecting, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(*where: Any) -> Wire:
        connecting.set()
        await go_on.wait()
        return await connected(*where)

    monkeypatch.setattr("tidewheel._store.redis.radio.connected", slowly)

    async def heard(kind: Wakeup, ready: asyncio.Event) -> frozenset[Wakeup]:
        async with store.wakeups(frozenset({kind})) as hints:
            ready.set()
            return await anext(hints)

    ready = [asyncio.Event(), asyncio.Event()]
    first = asyncio.create_task(heard(Wakeup.WORK, ready[0]))
    await connecting.wait()
    second = asyncio.create_task(heard(Wakeup.DUE, ready[1]))
    await asyncio.sleep(0.05)
    go_on.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*(one.wait() for one in ready))
        await store.enqueue(
            [NewJob(id="now", kind="k", args="{}"), NewJob(id="then", kind="k", args="{}", delay=10**9)]
        )
        assert await asyncio.gather(first, second) == [{Wakeup.WORK}, {Wakeup.DUE}]
    await store.close()


@pytest.mark.parametrize("ground", REDIS, indirect=True)
def test_a_connection_that_was_reset_while_it_rested_is_replaced_in_uvloop_too(new_url: Callable[[], str]) -> None:
    """uvloop says RuntimeError where asyncio says ConnectionError; the worker took it for a bug and ended."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_ask_over_a_dead_connection(new_url()))


async def _ask_over_a_dead_connection(url: str) -> None:
    store = RedisStore(url, Env())
    await store.open()
    try:
        (link,) = store._links._idle
        link.abort()
        await asyncio.sleep(0.05)
        assert (await store.enqueue([NewJob(id="a", kind="k", args="{}")]))[0].inserted
    finally:
        await store.close()


async def test_a_second_signal_does_not_kill_a_worker_that_writes_its_last_outcomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Signals were heard until the last job was handed back, but not until that was written: its crash count went up."""
    app = App("memory://")

    @app.task
    async def long() -> None:
        await asyncio.sleep(60)

    async with app:
        store, then = await app.opened(), []
        settle = store.settle

        async def slowly(*some: Any, **options: Any) -> Any:
            await asyncio.sleep(0.3)
            then.append(signal.getsignal(signal.SIGTERM))
            return await settle(*some, **options)

        monkeypatch.setattr(store, "settle", slowly)
        before = signal.getsignal(signal.SIGTERM)
        worker = app.worker(grace="0s")
        app.on("job.started", lambda _: worker.stop())
        handle = await long.enqueue()
        assert await worker.run() == "stop"
        assert before not in then
        assert signal.getsignal(signal.SIGTERM) is before
        job = await app.jobs.info(handle.id)
        assert job is not None
        assert (job.state, job.attempt, job.crashes) == (JobState.AVAILABLE, 0, 0)
