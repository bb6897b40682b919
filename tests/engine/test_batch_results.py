"""Batch handlers: each job of a call comes to an end of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec
import pytest
from tests.engine._batches import Book, Row
from tests.engine._kit import row, run_all, running, until

from tidewheel import (
    App,
    Batch,
    BatchItem,
    Cancel,
    JobFailed,
    JobState,
    Retry,
    RetryPolicy,
    Snooze,
    current_job,
    fixed,
)
from tidewheel._engine.batch_call import BatchCall


async def test_each_job_has_its_own_result(app: App) -> None:
    @app.task(batch=Batch(9, least=1))
    async def double(numbers: list[int]) -> list[int]:
        return [2 * n for n in numbers]

    jobs = await app.enqueue_many(double.job(n) for n in range(5))
    await run_all(app)
    assert [await job.result() for job in jobs] == [0, 2, 4, 6, 8]


async def test_the_end_of_a_large_call_asks_nobody_who_else_is_in_it(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it takes seconds: each of ten thousand jobs would look at all the others."""
    asked: list[BatchCall] = []
    monkeypatch.setattr(BatchCall, "deserted", property(asked.append))

    @app.task(batch=Batch(50, least=1))
    async def double(numbers: list[int]) -> None: ...

    await app.enqueue_many(double.job(n) for n in range(50))
    await run_all(app)
    assert asked == []


async def test_an_exception_in_the_list_fails_its_job_alone(app: App) -> None:
    @app.task(batch=Batch(9, least=1), retry=1)
    async def pick(numbers: list[int]) -> list[int | Exception]:
        return [ValueError(f"{n} is odd") if n % 2 else n for n in numbers]

    jobs = await app.enqueue_many(pick.job(n) for n in range(4))
    await run_all(app)
    assert [await jobs[n].result() for n in (0, 2)] == [0, 2]
    for n in (1, 3):
        with pytest.raises(JobFailed, match=f"{n} is odd"):
            await jobs[n].result()


async def test_signals_are_for_their_own_job(app: App) -> None:
    given: list[list[str]] = []

    @app.task(batch=Batch(9, least=1), retry=RetryPolicy(3, fixed(0)))
    async def act(words: list[str]) -> list[Any]:
        given.append(words)
        todo: dict[str, Any] = {"cancel": Cancel("no"), "snooze": Snooze("1h"), "later": Retry(after="1h")}
        return [todo.get(word, word) for word in words]

    jobs = {word: await act.enqueue(word) for word in ("cancel", "snooze", "later", "fine")}
    async with running(app) as worker:
        await until(lambda: worker.done == 4)
    assert {word: await job.state() for word, job in jobs.items()} == {
        "cancel": JobState.CANCELLED,
        "snooze": JobState.SCHEDULED,
        "later": JobState.RETRYABLE,
        "fine": JobState.COMPLETED,
    }
    assert len(given) == 1


async def test_what_it_raises_fails_all_by_their_own_policies(app: App) -> None:
    calls: list[list[int]] = []

    @app.task(batch=Batch(9, least=1), retry=RetryPolicy(3, fixed(0)))
    async def moody(numbers: list[int]) -> None:
        calls.append(sorted(numbers))
        if len(calls) == 1:
            raise ValueError("not today")

    jobs = [await moody.enqueue(1), await moody.options(retry=1).enqueue(2), await moody.enqueue(3)]
    await run_all(app, poll=0.01)
    assert [await job.state() for job in jobs] == [JobState.COMPLETED, JobState.DISCARDED, JobState.COMPLETED]
    assert calls[0] == [1, 2, 3]
    assert sorted(chain(*calls[1:])) == [1, 3]
    failed = await row(app, jobs[1].id)
    assert failed.error is not None
    assert failed.error.message == "not today"
    assert "in moody" in failed.error.traceback


@pytest.mark.parametrize(
    ("answer", "says"),
    [([1], "returned 1 results for 2 items"), (7, "returned a int for a batch"), ({"a": 1}, "returned a dict")],
)
async def test_an_answer_that_fits_nobody_fails_all(app: App, answer: Any, says: str) -> None:
    @app.task(batch=Batch(9, least=1), retry=1)
    async def odd(numbers: list[int]) -> Any:
        return answer

    jobs = await app.enqueue_many(odd.job(n) for n in range(2))
    await run_all(app)
    for job in jobs:
        failed = await row(app, job.id)
        assert failed.error is not None
        assert says in failed.error.message


async def test_a_result_that_cannot_be_written_fails_its_job_alone(app: App) -> None:
    @app.task(batch=Batch(9, least=1), retry=3)
    async def give(numbers: list[int]) -> list[Any]:
        return [object() if n else n for n in numbers]

    jobs = await app.enqueue_many(give.job(n) for n in range(2))
    await run_all(app)
    assert [await job.state() for job in jobs] == [JobState.COMPLETED, JobState.DISCARDED]


async def test_arguments_that_do_not_fit_any_more_are_in_no_batch(app: App, book: Book) -> None:
    task = app.task(batch=Batch(9, least=1, key="args.rows.tenant"), retry=3)(book.rows)
    prepared = [task.job(Row("a", n)) for n in range(3)]
    bad = msgspec.structs.replace(prepared[1].new, args='{"rows":7}')
    store = await app.ready()
    await store.enqueue([prepared[0].new, bad, prepared[2].new])
    await run_all(app)
    assert [[one.number for one in call] for call in book.calls] == [[0, 2]]
    assert (await row(app, bad.id)).state is JobState.DISCARDED


@pytest.mark.parametrize("where", ["loop", "thread"])
async def test_items_know_their_jobs(app: App, where: str) -> None:
    async def on_loop(items: list[BatchItem[int]]) -> list[str]:
        return in_thread(items)

    def in_thread(items: list[BatchItem[int]]) -> list[str]:
        for item in items:
            item.job.log.info("has %d", item.value)
            item.job.progress(item.value)
        with pytest.raises(RuntimeError, match="BatchItem"):
            current_job()
        return [item.job.fence for item in items]

    fn: Callable[..., Any] = on_loop if where == "loop" else in_thread
    task = app.task(name="known", batch=Batch(9, least=1))(fn)
    jobs = await app.enqueue_many(task.job(n) for n in range(3))
    await run_all(app)
    assert [await job.result() for job in jobs] == [f"{job.id}:1" for job in jobs]
    assert [await job.progress() for job in jobs] == [0, 1, 2]
    assert [(await job.logs())[0].message for job in jobs] == ["has 0", "has 1", "has 2"]


async def test_threads(app: App) -> None:
    @app.task(batch=Batch(4, wait=0.01))
    def double(numbers: list[int]) -> list[int | BaseException]:
        return [ValueError("seven") if n == 7 else 2 * n for n in numbers]

    jobs = await app.enqueue_many(double.options(retry=1).job(n) for n in range(10))
    await run_all(app)
    assert [await job.result() for job in jobs if job is not jobs[7]] == [0, 2, 4, 6, 8, 10, 12, 16, 18]
    with pytest.raises(JobFailed, match="seven"):
        await jobs[7].result()


async def test_it_can_be_called_without_a_queue(app: App) -> None:
    @app.task(batch=Batch(4))
    async def double(numbers: list[int]) -> list[int]:
        return [2 * n for n in numbers]

    assert await double([1, 2]) == [2, 4]
