"""Batch handlers: jobs that leave their batch, workers that end, leases, crashes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from tests.engine._batches import Book
from tests.engine._kit import PATIENCE, Blocker, Ears, faulty_app, row, run_all, running, until

from tidewheel import (
    App,
    Batch,
    BatchItem,
    JobCancelled,
    JobState,
    Limit,
)
from tidewheel._model.duration import SECOND
from tidewheel._model.queue import QueueSettings
from tidewheel._model.worker import BeatAnswer, Want
from tidewheel.testing import FakeClock, fake_env


async def test_who_is_cancelled_while_it_is_collected_leaves(app: App, book: Book) -> None:
    task = app.task(batch=Batch(3, wait="1h"))(book.numbers)
    jobs = await app.enqueue_many(task.job(n) for n in range(2))
    async with running(app, short_lease=0.06) as worker:
        await until(lambda: len(worker._attempts) == 2)
        await jobs[0].cancel()
        with pytest.raises(JobCancelled):
            await jobs[0].result(PATIENCE)
        jobs += await app.enqueue_many(task.job(n) for n in range(2, 4))
        await until(lambda: worker.done == 4)
    assert book.calls == [[1, 2, 3]]


async def test_a_batch_that_all_have_left_does_not_begin(app: App, book: Book) -> None:
    task = app.task(batch=Batch(3, wait=0.3))(book.numbers)
    job = await task.enqueue(1)
    async with running(app, short_lease=0.06) as worker:
        await until(lambda: worker._attempts)
        await job.cancel()
        await until(lambda: worker.done == 1)
        assert worker._crew.collectors["numbers"]._open == {}
        await task.enqueue(2)
        await until(lambda: worker.done == 2)
    assert book.calls == [[2]]


async def test_who_was_told_to_leave_is_in_no_call_that_begins_at_that_moment(app: App, book: Book) -> None:
    task = app.task(batch=Batch(2, wait="1h"))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(1))
    async with running(app) as worker:
        await until(lambda: worker._attempts)
        (attempt,) = worker._attempts.values()
        (open_batch,) = worker._crew.collectors["numbers"]._open.values()
        worker._interrupt(attempt, "lease lost")
        worker._crew.collectors["numbers"]._make_due(open_batch)
        await until(lambda: worker.done == 1)
    assert book.calls == []


async def test_a_cancel_during_the_call_is_noted_and_the_others_go_on(app: App) -> None:
    inside, leave, seen = asyncio.Event(), asyncio.Event(), []

    @app.task(batch=Batch(3, wait="1h"))
    async def slow(items: list[BatchItem[int]]) -> list[int]:
        inside.set()
        await leave.wait()
        seen.extend([item.job.cancelled for item in items])
        return [item.value for item in items]

    jobs = await app.enqueue_many(slow.job(n) for n in range(3))
    async with running(app, short_lease=0.06) as worker:
        await inside.wait()
        await jobs[1].cancel()
        await until(lambda: any(one.context.cancelled for one in worker._attempts.values()))
        leave.set()
        await until(lambda: worker.done == 3)
    assert seen == [False, True, False]
    assert [await job.state() for job in jobs] == [JobState.COMPLETED, JobState.CANCELLED, JobState.COMPLETED]


async def test_a_call_that_nobody_wants_any_more_is_ended(app: App, book: Book) -> None:
    book.leave.clear()
    task = app.task(batch=Batch(2, wait="1h"))(book.numbers)
    jobs = await app.enqueue_many(task.job(n) for n in range(2))
    async with running(app, short_lease=0.06, concurrency=1) as worker:
        await until(lambda: book.calls)
        for job in jobs:
            await job.cancel()
        await until(lambda: worker.done == 2)
        await until(lambda: worker._crew.collectors["numbers"]._at_once == 0)
    assert {await job.state() for job in jobs} == {JobState.CANCELLED}


async def test_the_timeout_begins_with_the_call(app: App, book: Book) -> None:
    task = app.task(batch=Batch(2, wait=0.2), timeout=0.1)(book.numbers)
    job = await task.enqueue(1)
    async with running(app) as worker:
        await until(lambda: worker.done)
    assert (await row(app, job.id)).state is JobState.COMPLETED


async def test_a_timeout_ends_the_call_when_it_is_everybodys(app: App, book: Book) -> None:
    book.leave.clear()
    task = app.task(batch=Batch(2, wait="1h"), timeout=0.03, retry=1)(book.numbers)
    jobs = await app.enqueue_many(task.job(n) for n in range(2))
    async with running(app) as worker:
        await until(lambda: worker.done == 2)
        await until(lambda: worker._crew.collectors["numbers"]._at_once == 0)
    for job in jobs:
        error = (await row(app, job.id)).error
        assert error is not None
        assert "timeout" in error.message


async def test_one_jobs_own_timeout_is_its_own(app: App, book: Book) -> None:
    book.leave.clear()
    task = app.task(batch=Batch(2, wait="1h"))(book.numbers)
    jobs = [await task.options(timeout=0.02, retry=1).enqueue(1), await task.enqueue(2)]
    async with running(app) as worker:
        await until(lambda: worker.done == 1)
        assert len(worker._attempts) == 1
        book.leave.set()
        await until(lambda: worker.done == 2)
    assert [await job.state() for job in jobs] == [JobState.DISCARDED, JobState.COMPLETED]


async def test_who_loses_its_lease_leaves_and_its_outcome_counts_nowhere() -> None:
    app, store = faulty_app()
    inside, leave = asyncio.Event(), asyncio.Event()

    @app.task(batch=Batch(2, wait="1h"))
    async def slow(numbers: list[int]) -> list[str]:
        inside.set()
        await leave.wait()
        return ["first"] * len(numbers)

    jobs = await app.enqueue_many(slow.job(n) for n in range(2))
    async with running(app, short_lease=0.06) as worker:
        await inside.wait()
        lost = next(one for one in worker._attempts.values() if one.claimed.id == jobs[0].id)
        worker._told(lost, BeatAnswer.LOST)
        await until(lambda: worker.done == 1)
        leave.set()
        await until(lambda: worker.done >= 2)
    assert await jobs[1].result() == "first"
    released = [one.outcome for batch in store.given["settle"] for one in batch if one.lease.job_id == jobs[0].id]
    assert type(released[0]).__name__ == "Released"


async def test_a_handler_that_ignores_its_end_keeps_no_slot(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewheel._engine.collector._ABANDON", 0.02)
    blocker = Blocker()

    @app.task(batch=Batch(1), timeout=0.02, retry=1)
    def stuck(numbers: list[int]) -> None:
        if numbers == [0]:
            blocker()

    await stuck.enqueue(0)
    async with running(app, threads=1) as worker:
        await blocker.entered()
        second = await stuck.enqueue(1)
        await second.result(PATIENCE)
        blocker.leave.set()
        assert worker.done == 2


async def test_leases_are_kept_while_a_batch_is_collected(app: App, book: Book) -> None:
    task = app.task(batch=Batch(5, wait=0.4))(book.numbers)
    jobs = await app.enqueue_many(task.job(n) for n in range(3))
    async with running(app, short_lease=0.06):
        for job in jobs:
            await job.result(PATIENCE)
    assert [(await row(app, job.id)).epoch for job in jobs] == [1, 1, 1]


async def test_a_job_on_its_last_life_is_in_a_batch_of_its_own() -> None:
    app, store = faulty_app(env=fake_env())
    book = Book()
    task = app.task(batch=Batch(9, wait=0, least=1), max_crashes=2, retry=9)(book.numbers)
    for n in range(2):
        await task.enqueue(n)
    while await store.claim([Want("default", 100)], kinds=["numbers"], worker="lost", lease=SECOND):
        pass
    clock = app.env.clock
    assert isinstance(clock, FakeClock)
    clock.advance(2 * SECOND)
    await store.sweep()
    await task.enqueue(2)
    await task.enqueue(3)
    await run_all(app)
    assert sorted(chain(*book.calls)) == [0, 1, 2, 3]
    assert [call for call in book.calls if 0 in call] == [[0]]
    assert [call for call in book.calls if 1 in call] == [[1]]


async def test_a_stop_hands_back_what_is_collected_at_once(app: App, book: Book) -> None:
    task = app.task(batch=Batch(5, wait="1h"))(book.numbers)
    jobs = await app.enqueue_many(task.job(n) for n in range(3))
    async with running(app, grace="1h") as worker:
        await until(lambda: len(worker._attempts) == 3)
    assert book.calls == []
    for job in jobs:
        back = await row(app, job.id)
        assert (back.state, back.attempt, back.crashes) == (JobState.AVAILABLE, 0, 0)


async def test_a_stop_lets_a_call_end(app: App, book: Book) -> None:
    book.leave.clear()
    task = app.task(batch=Batch(3, wait="1h"))(book.numbers)
    jobs = await app.enqueue_many(task.job(n) for n in range(5))
    async with running(app, grace=PATIENCE, concurrency=2) as worker:
        await until(lambda: len(worker._attempts) == 5)
        worker.stop()
        await until(lambda: len(worker._attempts) == 3)
        book.leave.set()
    states = [await job.state() for job in jobs]
    assert states == [JobState.COMPLETED] * 3 + [JobState.AVAILABLE] * 2


@pytest.mark.parametrize("where", ["loop", "thread"])
async def test_after_the_grace_a_call_is_handed_back(
    app: App, book: Book, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewheel._engine.worker._ABANDON", 0.03)
    blocker = Blocker()
    book.leave.clear()

    def in_thread(numbers: list[int]) -> None:
        blocker()

    fn: Callable[..., Any] = book.numbers if where == "loop" else in_thread
    task = app.task(name="slow", batch=Batch(2))(fn)
    jobs = await app.enqueue_many(task.job(n) for n in range(2))
    async with running(app, grace=0) as worker:
        await until(lambda: worker._crew.collectors["slow"]._calls)
    blocker.leave.set()
    for job in jobs:
        back = await row(app, job.id)
        assert (back.state, back.attempt) == (JobState.AVAILABLE, 0)


async def test_what_a_claim_brings_after_the_stop_is_handed_back() -> None:
    app, store = faulty_app()
    book = Book()
    task = app.task(batch=Batch(2))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(2))
    store.doors["claim"] = door = asyncio.Event()
    async with running(app) as worker:
        await until(lambda: store.calls["claim"])
        worker.stop()
        await asyncio.sleep(0)
        door.set()
    assert {job.state for job in await store.list_all()} <= {JobState.AVAILABLE, JobState.COMPLETED}
    assert not worker._attempts


async def test_limits_count_jobs(app: App, book: Book) -> None:
    task = app.task(batch=Batch(10, wait=0.02), concurrency=Limit(3))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(9))
    await run_all(app, poll=0.01)
    assert sum(book.sizes) == 9
    assert max(book.sizes) == 3


async def test_telemetry_says_start_when_it_starts(app: App, book: Book) -> None:
    ears = Ears(app, "job.started", "job.completed")
    task = app.task(batch=Batch(2, wait="1h"))(book.numbers)
    await task.enqueue(1)
    async with running(app) as worker:
        await until(lambda: worker._attempts)
        assert ears.names() == []
        await task.enqueue(2)
        await until(lambda: worker.done == 2)
    assert Counter(ears.names()) == {"job.started": 2, "job.completed": 2}


async def test_a_paused_queue_gives_no_batches(app: App, book: Book) -> None:
    task = app.task(batch=Batch(2, least=1))(book.numbers)
    store = await app.ready()
    await store.put_queues([QueueSettings(name="default", paused=True)])
    await task.enqueue(1)
    async with running(app, poll=0.01) as worker:
        await until(lambda: worker._claimers[0].idle)
        assert book.calls == []
