"""Every call of the store fails, loses its reply, comes late, comes twice: nothing is lost and nothing done twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.chaos._caller import Caller
from tests.e2e._history import HISTORY, Verdict, read, write
from tests.e2e._records import Records, judge_records
from tests.e2e.apps import jobs

from tidewheel import App, JobState, StoreUnavailable
from tidewheel._model.query import Action, JobFilter
from tidewheel._model.queue import QueueSettings
from tidewheel.testing.faults import CALLS, Fault, FaultPlan, Point, inject

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(60)]
LEASE = "1s"
MODES = (Fault.REFUSE, Fault.FORGET, Fault.DELAY, Fault.REPEAT)
HOT = (("enqueue", "beat"), ("settle",), ("claim", "sweep"))
"""What callers and workers do all the time; those of a group are tried side by side, for they take their time."""
COLD = ("get", "list", "history", "alter", "put_queues", "queues", "workers")
"""What people do, who ask again when there was no answer."""


def test_every_call_is_tried() -> None:
    assert {*itertools.chain(*HOT), *COLD} == set(CALLS)


@pytest.mark.parametrize("calls", HOT, ids=" and ".join)
async def test_workers_and_callers_live_with_it(
    calls: tuple[str, ...], new_url: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = tmp_path / "history.jsonl"
    monkeypatch.setenv(HISTORY, str(history))
    await asyncio.gather(*(_work(new_url(), call, mode, history) for call in calls for mode in MODES))


async def _work(url: str, call: str, mode: Fault, history: Path) -> None:
    """The first call goes wrong, and some of the others. (A lost claim costs a lease, a lost sweep five seconds.)"""
    rates = {} if call in ("claim", "sweep") else {mode: 0.2}
    points = [Point(call, mode)] + [Point(call, mode, 4)] * (call == "claim")
    hit = 0

    def told(name: str, fault: Fault) -> None:
        nonlocal hit
        hit += 1

    app = jobs.build(url, crashes=100, attempts=100)
    inject(app, FaultPlan(rates=rates, points=tuple(points), calls=(call,), seed=7), told=told)
    async with app:
        caller = Caller(app, lambda what, **more: write(history, what=what, of=url, **more))
        for number in range(4):
            for kind, argument in (("hop", 0.0), ("shaky", 1), ("sleepy", 0.05), ("tell", "x"), ("step", 0.0)):
                order = app.tasks[kind].options(tags=[f"order-{kind}-{number}"]).job(argument)
                await caller.give(order)
        await app.worker(drain_and_exit=True, signals=False, lease=LEASE, poll="0.2s").run()
    assert hit
    async with jobs.build(url) as fresh:
        records = await Records.read(fresh)
    lines = [line for line in read(history) if line.get("job") in records.rows or line.get("of") == url]
    verdict = Verdict()
    judge_records(verdict, lines, records)
    assert not verdict.findings, f"{call} {mode}: {verdict}"
    assert (verdict.jobs, verdict.completions) == (20, 20)
    if call not in ("claim", "beat", "sweep"):  # a claim whose reply is lost costs its jobs a crash
        assert verdict.executions == 28


async def asked_again(call: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, asked for until it comes."""
    for _ in range(2):
        try:
            return await call()
        except StoreUnavailable:
            continue
    raise AssertionError("there were two faults where one was planned")


@pytest.mark.parametrize("mode", MODES)
async def test_people_who_ask_again_get_what_they_asked_for(mode: Fault, new_url: Callable[[], str]) -> None:
    told: list[tuple[str, Fault]] = []
    url = new_url()
    app = jobs.build(url)
    plan = FaultPlan(points=tuple(Point(call, mode) for call in COLD))
    inject(app, plan, told=lambda call, fault: told.append((call, fault)))
    async with app, jobs.build(url) as calm:
        store, sane = await app.opened(), await calm.opened()
        (handle,) = await app.enqueue_many([app.tasks["hop"].job(0.0)])
        await asked_again(lambda: store.put_queues([QueueSettings(name="default", paused=True)]))
        assert [one.paused for one in await sane.queues()] == [True]
        await asked_again(lambda: store.alter([handle.id], Action.CANCEL))
        assert [job.state for job in await sane.get([handle.id]) if job is not None] == [JobState.CANCELLED]
        assert await asked_again(lambda: store.get([handle.id])) == await sane.get([handle.id])
        assert await asked_again(lambda: store.list(JobFilter())) == await sane.list(JobFilter())
        assert await asked_again(lambda: store.history(handle.id)) == await sane.history(handle.id)
        assert await asked_again(store.queues) == await sane.queues()
        assert await asked_again(store.workers) == await sane.workers()
    assert sorted(told) == sorted((call, mode) for call in COLD)


async def test_an_order_without_an_answer_may_be_given_again(new_url: Callable[[], str]) -> None:
    """The prepared job has its id before it is sent; a second `job()` would be a second order."""
    app: App = jobs.build(new_url())
    inject(app, FaultPlan(points=(Point("enqueue", Fault.FORGET),)))
    async with app:
        prepared = [app.tasks["tell"].job(f"{n}") for n in range(50)]
        with pytest.raises(StoreUnavailable):
            await app.enqueue_many(prepared)
        handles = await app.enqueue_many(prepared)
        assert not any(handle.created for handle in handles)
        page = await app.jobs.list(limit=1000)
    assert sorted(job.id for job in page.jobs) == sorted(handle.id for handle in handles)
