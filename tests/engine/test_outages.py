"""A store that comes and goes: every job ends once, nothing is doubled, and people are told once."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, Ears, FaultyStore, faulty_app, running, until

from tidewheel import (
    App,
    Batch,
    BatchItem,
    Cancel,
    JobState,
    LeaseLost,
    RetryPolicy,
    Snooze,
    StoreFull,
    StoreUnavailable,
    current_job,
    fixed,
)
from tidewheel._engine import patience as patience_module
from tidewheel._engine import sweeper as sweeper_module

OPERATIONS = ["claim", "beat", "settle", "sweep"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "_FIRST", 0.001)
    monkeypatch.setattr(patience_module, "_LONGEST", 0.005)
    monkeypatch.setattr(sweeper_module, "_AFTER_OUTAGE", 0.001)
    monkeypatch.setattr(sweeper_module, "_EVERY", 0.1)


class Site:
    """An app that counts how often each job ran."""

    def __init__(self) -> None:
        self.app, self.store = faulty_app(retry=RetryPolicy(3, fixed("5ms")))
        self.runs: Counter[int] = Counter()

        @self.app.task
        async def work(number: int) -> int:
            self.runs[number] += 1
            if number % 5 == 0 and self.runs[number] == 1:
                raise ValueError("the first time it fails")
            return number

        self.work = work

    async def enqueue(self, count: int) -> list[str]:
        return [job.id for job in await self.app.enqueue_many(self.work.job(number) for number in range(count))]

    async def all_done(self) -> bool:
        return all(job.state.final for job in await self.store.list_all())


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("error", [StoreUnavailable("no answer"), StoreFull("disk full")])
async def test_every_job_ends_once_whatever_fails(site: Site, how: str, error: Exception) -> None:
    """`after`: the store did it, and only its answer was lost. A lost claim costs its lease time, so it is no part."""
    faults = site.store.before if how == "before" else site.store.after
    for operation in OPERATIONS:
        if (how, operation) != ("after", "claim"):
            faults[operation] = [error] * 5
    await site.enqueue(20)

    async with running(site.app, concurrency=4, poll=0.01):
        await until(site.all_done)

    assert [job.state for job in await site.store.list_all()] == [JobState.COMPLETED] * 20
    assert site.runs == {number: 2 if number % 5 == 0 else 1 for number in range(20)}
    for job in await site.store.list_all():
        history = await site.store.history(job.id)
        assert history is not None
        assert [record.outcome for record in history.attempts] in ([], ["retry"])


async def test_a_lost_answer_to_a_claim_costs_one_lease_time(site: Site) -> None:
    """And the crash that a rescue counts; the job is not lost."""
    site.store.after["claim"] = [StoreUnavailable("the answer was lost")]
    await site.enqueue(1)
    async with running(site.app, short_lease=0.05):
        await until(site.all_done)
    (job,) = await site.store.list_all()
    assert (job.state, job.crashes) == (JobState.COMPLETED, 1)


async def test_everything_goes_on_when_the_store_is_back_and_it_is_said_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="tidewheel"):
        async with running(site.app, poll=0.01, short_lease=0.03):
            site.store.away |= set(OPERATIONS)
            await site.enqueue(3)
            await until(lambda: all(site.store.calls[operation] > 3 for operation in ("claim", "beat")))
            assert site.runs == {}
            site.store.away.clear()
            await until(site.all_done)
    assert caplog.text.count("The store is away") == 1
    assert caplog.text.count("The store is back") == 1


async def test_claiming_pauses_while_outcomes_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or memory would fill with what was done, and all of it would be done again after a crash."""
    monkeypatch.setattr("tidewheel._engine.settler._BATCH", 5)
    site = Site()
    await site.enqueue(100)
    site.store.away.add("settle")
    async with running(site.app, concurrency=4, poll=0.01) as worker:
        await until(lambda: worker._settler.full and not worker._attempts)
        started = worker.done
        claims = site.store.calls["claim"]
        await until(lambda: site.store.calls["settle"] > 20)
        assert worker.done == started < 25
        assert site.store.calls["claim"] <= claims + 1
        site.store.away.clear()
        await until(site.all_done)
    assert set(site.runs) == set(range(100))


async def test_an_outage_longer_than_the_lease_does_not_repeat_what_was_done() -> None:
    """The leases are over when the store comes back. Outcomes that only wait to be written go before the rescue."""
    site = Site()
    await site.enqueue(1)
    site.store.away |= {"settle", "sweep"}
    async with running(site.app, short_lease=0.03) as worker:
        site.store.away.add("beat")
        # Number 0 fails first; the retry is what cannot be written.
        await until(lambda: worker.done == 1)
        (job,) = await site.store.list_all()
        assert job.lease_until is not None
        await until(lambda: site.app.env.clock() > (job.lease_until or 0))
        site.store.away.clear()
        await until(site.all_done)
    (job,) = await site.store.list_all()
    assert (job.state, job.crashes, job.attempt) == (JobState.COMPLETED, 0, 2)


async def test_starting_while_the_store_is_away(site: Site) -> None:
    await site.enqueue(1)
    site.store.away |= {"claim", "sweep", "settle"}

    async def back() -> None:
        await until(lambda: site.store.calls["claim"] > 5)
        site.store.away.clear()

    returning = asyncio.create_task(back())
    async with running(site.app):
        await until(site.all_done)
    await returning


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_a_worker_that_never_reached_the_store_can_be_ended(site: Site, how: str) -> None:
    site.store.away |= set(OPERATIONS)
    ears = Ears(site.app, "worker.started")
    worker = site.app.worker(signals=False)
    task = asyncio.create_task(worker.run())
    await until(lambda: site.store.calls["beat"] > 3)
    if how == "stop":
        worker.stop()
        assert await asyncio.wait_for(task, PATIENCE) == "stop"
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE)
    assert ears.heard == []
    assert [one for one in threading.enumerate() if one.name == "tidewheel-keeper"] == []


async def test_two_workers_of_one_process_share_the_work(site: Site) -> None:
    await site.enqueue(40)
    async with running(site.app, concurrency=2) as first, running(site.app, concurrency=2) as second:
        await until(site.all_done)
    assert first.done + second.done == 48
    assert first.id != second.id
    assert max(site.runs.values()) == 2


class UnluckyStore(FaultyStore):
    """Every call may fail, before or after it was done."""

    def __init__(self, seed: int, luck: float) -> None:
        super().__init__()
        self.dice = random.Random(seed)
        self.luck = luck

    async def _do(self, name: str, work: Coroutine[Any, Any, Any]) -> Any:
        throw = self.dice.random()
        if name in OPERATIONS and throw < self.luck:
            faults = self.before if throw < self.luck * 0.7 else self.after
            faults[name].append(StoreUnavailable(f"bad luck with {name}"))
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            work.close()
            raise
        return await super()._do(name, work)


class Dice:
    """Bodies of every sort that end as luck has it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def throw(self, number: int) -> int:
        throw = self._random.random()
        if throw < 0.1:
            raise ValueError(number)
        if throw < 0.2:
            raise Snooze(0.002)
        if throw < 0.25:
            raise Cancel("of its own")
        return number

    def body(self, number: int) -> int:
        job = current_job()
        job.progress(number)
        job.log.info("attempt %d", job.attempt)
        return self.throw(number)

    async def on_loop(self, number: int) -> int:
        await asyncio.sleep(0)
        return self.body(number)

    async def in_batches(self, items: list[BatchItem[int]]) -> list[int | Exception]:
        await asyncio.sleep(0)
        return [self._answer(item) for item in items]

    def _answer(self, item: BatchItem[int]) -> int | Exception:
        with suppress(LeaseLost):
            item.job.progress(item.value)
        try:
            return self.throw(item.value)
        except Exception as error:  # noqa: BLE001 -- as a batch handler hands them over
            return error


@pytest.mark.parametrize("seed", range(4))
async def test_two_workers_in_bad_luck_lose_and_double_nothing(seed: int) -> None:
    """Short leases, handlers of every sort, cancels in between: whatever happens, every job comes to one end."""
    store = UnluckyStore(seed, luck=0.25)
    app = App("memory://", retry=RetryPolicy(50, fixed("2ms")))
    app._store = store
    dice = Dice(seed)
    completed: Counter[str] = Counter()
    app.on("job.completed", lambda event: completed.update([event.data["job"].id]))

    tasks: list[Any] = [
        app.task(max_crashes=100)(dice.on_loop),
        app.task(name="thread", max_crashes=100)(dice.body),
        app.task(max_crashes=100, batch=Batch(5, wait=0.01))(dice.in_batches),
    ]
    jobs = await app.enqueue_many(tasks[number % 3].job(number) for number in range(90))
    options: dict[str, Any] = {
        "short_lease": 0.1,
        "poll": 0.02,
        "concurrency": 5,
        "threads": 3,
        "queues": ["default", "empty"],
    }
    async with running(app, **options) as first, running(app, **options) as second:
        for job in jobs[::7]:
            await job.cancel()
        await until(lambda: all(row.job.state.final for row in list(store._rows.values())))
        store.luck = 0
        await first.settled()
        await second.settled()

    for job in jobs:
        history = await store.history(job.id)
        assert history is not None
        assert history.job.state in {JobState.COMPLETED, JobState.CANCELLED}, history
        claims = history.job.epoch - history.job.crashes  # a rescue raises the epoch, too
        ends = len(history.attempts) + (history.job.state is JobState.COMPLETED)
        assert claims == ends, history
        if history.job.state is JobState.COMPLETED:
            assert completed[job.id] >= 1
