"""Batch handlers: when a batch begins, and what it takes of its worker."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from tests.engine._batches import Book, Row
from tests.engine._kit import PATIENCE, run_all, running, until

from tidewheel import (
    App,
    Batch,
    LimitKeyError,
    Snooze,
)


async def test_a_full_batch_begins_at_once(app: App, book: Book) -> None:
    task = app.task(batch=Batch(4, wait="1h"))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(8))
    async with running(app) as worker:
        await until(lambda: worker.done == 8)
    assert book.calls == [[0, 1, 2, 3], [4, 5, 6, 7]]


async def test_its_time_begins_with_its_first_job(app: App, book: Book) -> None:
    task = app.task(batch=Batch(4, wait=0.05))(book.numbers)
    async with running(app) as worker:
        await app.enqueue_many(task.job(n) for n in range(3))
        await until(lambda: worker.done == 3)
    assert book.calls == [[0, 1, 2]]


async def test_with_enough_jobs_it_waits_only_while_the_store_has_more(app: App, book: Book) -> None:
    task = app.task(batch=Batch(100, wait="1h", least=3))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(2))
    async with running(app, poll=0.01) as worker:
        await until(lambda: len(worker._attempts) == 2)
        await until(lambda: worker._claimers[0].idle)
        assert book.calls == []
        await app.enqueue_many(task.job(n) for n in range(2, 5))
        await until(lambda: worker.done == 5)
    assert book.calls == [[0, 1, 2, 3, 4]]


async def test_least_one_waits_for_nobody(app: App, book: Book) -> None:
    task = app.task(batch=Batch(100, wait="1h", least=1))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(7))
    await run_all(app)
    assert book.calls == [[0, 1, 2, 3, 4, 5, 6]]


async def test_one_batch_has_one_key(app: App, book: Book) -> None:
    task = app.task(batch=Batch(2, wait=0.02, key="args.rows.tenant"))(book.rows)
    await app.enqueue_many(task.job(Row(tenant, n)) for n, tenant in enumerate("abcab"))
    await run_all(app)
    assert sorted([one.number for one in call] for call in book.calls) == [[0, 3], [1, 4], [2]]


async def test_a_key_may_be_worked_out(app: App, book: Book) -> None:
    task = app.task(batch=Batch(9, least=1, key=lambda numbers: numbers % 2))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(6))
    await run_all(app)
    assert sorted(book.calls) == [[0, 2, 4], [1, 3, 5]]


async def test_with_full_hands_the_largest_begins(app: App, book: Book) -> None:
    """Ten batches' worth of jobs of many keys, none of which is full: else nothing would move until the time is over."""
    task = app.task(batch=Batch(2, wait="1h", key="args.numbers"))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(25))
    async with running(app) as worker:
        await until(lambda: worker.done == 6)  # 20 in its hands, 25 in all: 6 had to go for the rest to come
        assert set(book.sizes) == {1}
        assert len(worker._attempts) == 19


async def test_a_batch_takes_no_more_slots_than_one(app: App, book: Book) -> None:
    book.leave.clear()
    task = app.task(batch=Batch(10, wait=0))(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(40))
    async with running(app, concurrency=2) as worker:
        await until(lambda: len(book.calls) == 2)
        assert worker._info().concurrency == 2
        assert sum(book.sizes) == len(worker._attempts) == 20  # nobody hoards what no slot is free for
        book.leave.set()
        await until(lambda: worker.done == 40)
    assert book.sizes == [10] * 4


async def test_batches_and_single_jobs_share_the_slots(app: App, book: Book) -> None:
    most, inside = 0, 0

    async def enter(count: int) -> None:
        nonlocal most, inside
        inside += 1
        most = max(most, inside)
        for _ in range(5):
            await asyncio.sleep(0)
        inside -= 1

    @app.task(batch=Batch(3, wait=0))
    async def many(numbers: list[int]) -> None:
        await enter(len(numbers))

    @app.task
    async def one(number: int) -> None:
        await enter(number)

    await app.enqueue_many([*(many.job(n) for n in range(30)), *(one.job(n) for n in range(30))])
    await run_all(app, concurrency=3)
    assert most <= 3


@pytest.mark.parametrize("slots", [1, 2])
async def test_a_busy_executor_leaves_room_for_batches(app: App, book: Book, slots: int) -> None:
    task = app.task(batch=Batch(3, wait=0))(book.numbers)

    @app.task
    async def again() -> None:
        await asyncio.sleep(0)
        raise Snooze(0)

    for _ in range(5):
        await again.enqueue()
    async with running(app, concurrency=slots) as worker:
        await until(lambda: worker.done > 20)
        jobs = await app.enqueue_many(task.job(n) for n in range(9))
        for job in jobs:
            await job.result(PATIENCE)
        await app.queues.pause("default")


async def test_per_worker_counts_batches(app: App, book: Book) -> None:
    book.leave.clear()
    task = app.task(batch=Batch(5, wait=0), per_worker=1)(book.numbers)
    await app.enqueue_many(task.job(n) for n in range(10))
    async with running(app) as worker:
        await until(lambda: book.calls)
        await until(lambda: worker._claimers[0]._slots.free == 5)
        for _ in range(10):
            await asyncio.sleep(0)
        assert book.sizes == [5]
        book.leave.set()
        await until(lambda: worker.done == 10)


async def test_several_workers_share_the_jobs(app: App) -> None:
    seen: Counter[int] = Counter()

    @app.task(batch=Batch(7, wait=0.01))
    async def note(numbers: list[int]) -> None:
        seen.update(numbers)
        await asyncio.sleep(0)

    await app.enqueue_many(note.job(n) for n in range(200))
    async with running(app, concurrency=2) as first, running(app, concurrency=2) as second:
        await until(lambda: first.done + second.done == 200)
    assert seen == Counter(range(200))


async def test_a_job_without_a_key_is_not_enqueued(app: App, book: Book) -> None:
    task = app.task(batch=Batch(2, key="args.rows.tenant"))(book.rows)
    with pytest.raises(LimitKeyError, match=r"rows: the key of its batches, args.rows.tenant, found ''"):
        await task.enqueue(Row(""))
    with pytest.raises(TypeError, match="rows"):
        task.job("no row")  # type: ignore[arg-type]
    assert (await app.jobs.list()).jobs == ()
