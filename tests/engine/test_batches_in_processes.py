"""Batch handlers in child processes: an answer for each job, over one pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine import _handlers as handlers
from tests.engine._kit import PATIENCE, row, running, until

from tidewheel import App, Batch, JobFailed, JobState

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills")


def process(app: App, fn: Callable[..., Any], size: int, **settings: Any) -> Any:
    return app.task(run_in="process", batch=Batch(size, wait="1h"), **settings)(fn)


async def test_each_job_has_its_own_end(app: App) -> None:
    words = ["a", "simple", "demanding", "unpicklable", "local", "retry", "snooze", "cancel", "b"]
    many = process(app, handlers.many, len(words), retry=2)
    jobs = dict(zip(words, await app.enqueue_many(many.job(word) for word in words), strict=True))
    async with running(app, processes=1) as worker:
        await until(lambda: worker.done == len(words))
        assert [await jobs[word].result(PATIENCE) for word in "ab"] == ["A", "B"]
        assert {word: await job.state() for word, job in jobs.items() if len(word) > 1} == {
            "simple": JobState.RETRYABLE,
            "demanding": JobState.RETRYABLE,
            "unpicklable": JobState.RETRYABLE,
            "local": JobState.RETRYABLE,
            "retry": JobState.RETRYABLE,
            "snooze": JobState.SCHEDULED,
            "cancel": JobState.CANCELLED,
        }
    error = (await row(app, jobs["demanding"].id)).error
    assert error is not None
    assert (error.type, error.message) == ("tests.engine._handlers.Demanding", "404 no such customer")


async def test_news_go_to_the_job_they_are_of(app: App) -> None:
    task = process(app, handlers.many_items, 3)
    jobs = await app.enqueue_many(task.job(n) for n in range(3))
    async with running(app, processes=1):
        assert [await job.result(PATIENCE) for job in jobs] == [f"{job.id}:1" for job in jobs]
    assert [await job.progress() for job in jobs] == [0, 1, 2]
    assert [(await job.logs())[0].message for job in jobs] == ["has 0", "has 1", "has 2"]


async def test_a_child_that_dies_fails_all_of_its_batch(app: App) -> None:
    task = process(app, handlers.many_ends, 2, retry=1)
    jobs = await app.enqueue_many(task.job(word) for word in ("fine", "kill"))
    async with running(app, processes=1):
        for job in jobs:
            with pytest.raises(JobFailed, match="exit code -9"):
                await job.result(PATIENCE)


async def test_wishes_to_stop_are_heard_job_by_job(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewheel._engine.worker._ABANDON", PATIENCE)
    file = tmp_path / "file"
    task = process(app, handlers.many_spin, 2)
    jobs = [await task.options(soft_timeout=0.05).enqueue(str(file)), await task.enqueue(str(file))]
    async with running(app, processes=1, short_lease=0.06):
        await until(lambda: file.exists() and file.read_text())
        await jobs[1].cancel()
        assert await jobs[0].result(PATIENCE) == "soft timeout"
        await until(lambda: _ended(jobs[1]))
    assert await jobs[1].state() is JobState.CANCELLED


async def _ended(job: Any) -> bool:
    return bool((await job.state()).final)


async def test_a_batch_that_nobody_wants_any_more_is_killed(app: App, tmp_path: Path) -> None:
    file = tmp_path / "file"
    warm = process(app, handlers.many_items, 1)
    task = process(app, handlers.many_spin, 2, timeout=0.3, retry=1)
    async with running(app, processes=1):
        await (await warm.enqueue(1)).result(PATIENCE)
        for job in await app.enqueue_many(task.job(str(file)) for _ in range(2)):
            with pytest.raises(JobFailed, match="longer than its timeout"):
                await job.result(PATIENCE)
        await until(lambda: gone(int(file.read_text())))


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
