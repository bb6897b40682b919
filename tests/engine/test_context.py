"""`current_job()`: what a handler may ask and say, in the loop and in threads (processes: test_processes.py)."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, attempt_of, faulty_app, row, running, until

from tidewheel import App, Cancel, EncodeError, JobContext, JobState, LeaseLost, LogLine, current_job
from tidewheel._context import SOFT_TIMEOUT
from tidewheel.testing import FakeClock, fake_env


@pytest.fixture
def context() -> JobContext:
    app = App("memory://", env=fake_env(FakeClock()))

    async def handler() -> None: ...

    return attempt_of(app.task(handler), epoch=4, attempt=2, tags='["a","b"]', meta='{"order":7}').context


def lines(context: JobContext) -> list[tuple[str, str]]:
    _, logs = context.take_news()
    return [(line.level, line.message) for line in logs]


# --- what it is ---


def test_outside_a_handler_there_is_no_job() -> None:
    with pytest.raises(RuntimeError, match="outside a handler"):
        current_job()


def test_what_a_handler_may_know(context: JobContext) -> None:
    assert (context.kind, context.queue, context.attempt, context.max_attempts) == ("handler", "default", 2, 3)
    assert context.epoch == 4
    assert context.fence == f"{context.id}:4"
    assert context.tags == ("a", "b")
    assert context.meta == {"order": 7}
    assert not context.cancelled


async def test_a_job_without_tags_and_meta(app: App) -> None:
    async def handler() -> None: ...

    context = attempt_of(app.task(handler)).context
    assert (context.tags, context.meta) == ((), None)


def describe() -> dict[str, Any]:
    job = current_job()
    return {"id": job.id, "attempt": job.attempt, "fence": job.fence, "at": job.enqueued_at, "meta": job.meta}


async def test_it_is_there_in_the_loop_in_a_thread_and_in_what_they_call(app: App) -> None:
    @app.task
    async def in_loop() -> dict[str, Any]:
        await asyncio.sleep(0)
        return await asyncio.create_task(nested())

    async def nested() -> dict[str, Any]:
        return await asyncio.to_thread(describe)

    in_thread = app.task(name="in_thread")(describe)
    jobs = [await task.options(meta={"a": 1}).enqueue() for task in (in_loop, in_thread)]
    async with running(app):
        for job in jobs:
            known = await job.result(PATIENCE)
            assert known["id"] == job.id
            assert known["fence"] == f"{job.id}:1"
            assert known["at"] == (await row(app, job.id)).enqueued_at
            assert known["meta"] == {"a": 1}
    with pytest.raises(RuntimeError):
        current_job()


mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="clean")


@pytest.mark.parametrize("run_in", ["loop", "thread"])
async def test_jobs_do_not_see_each_others_context_variables(app: App, run_in: str) -> None:
    def seen(value: str) -> str:
        before = mark.get()
        mark.set(value)
        return before

    async def seen_async(value: str) -> str:
        return seen(value)

    task: Any = app.task(seen_async if run_in == "loop" else seen)
    jobs = await app.enqueue_many([task.job(str(number)) for number in range(4)])
    async with running(app, concurrency=1, threads=1):
        assert {await job.result(PATIENCE) for job in jobs} == {"clean"}
    assert mark.get() == "clean"


# --- progress and log ---


def test_news_are_given_once_and_the_latest_progress_wins(context: JobContext) -> None:
    context.progress(1)
    context.progress({"done": 2, "of": 5})
    context.log.info("read %d rows", 5)
    context.log.warning("100% sure")

    progress, logs = context.take_news()
    assert progress == '{"done":2,"of":5}'
    assert [(line.level, line.message) for line in logs] == [("info", "read 5 rows"), ("warning", "100% sure")]
    assert logs[0].at == FakeClock()()
    assert context.take_news() == (None, ())


def test_news_that_could_not_be_written_come_before_newer_ones(context: JobContext) -> None:
    context.progress(1)
    context.log.info("first")
    news = context.take_news()
    context.log.info("second")
    context.give_back(*news)
    assert context.take_news()[0] == "1"

    context.give_back(*news)
    context.progress(2)
    context.give_back(*news)
    assert context.take_news()[0] == "2"


def test_given_back_lines_keep_their_order(context: JobContext) -> None:
    context.log.info("first")
    news = context.take_news()
    context.log.info("second")
    context.give_back(*news)

    assert [message for _, message in lines(context)] == ["first", "second"]


def test_only_the_newest_lines_are_kept_and_long_ones_are_cut(context: JobContext) -> None:
    for number in range(1010):
        context.log.debug("%d", number)
    context.log.error("x" * 10_000)

    kept = lines(context)
    assert len(kept) == 1000
    assert kept[0] == ("debug", "11")
    assert len(kept[-1][1]) == 8192


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("message", "args", "kept"),
    [
        (ValueError("as an object"), (), "as an object"),
        (404, (), "404"),
        ("caf\udce9 %s", ("\udce9",), r"caf\udce9 \udce9"),
        ("%d", ("no number",), "<a log line that could not be made: TypeError>"),
        ("%s %s", ("one",), "<a log line that could not be made: TypeError>"),
        (Unprintable(), (), "<a log line that could not be made: ValueError>"),
        ("%s", (Unprintable(),), "<a log line that could not be made: ValueError>"),
    ],
)
def test_a_bad_log_call_is_no_reason_to_fail_a_job(
    context: JobContext, message: object, args: tuple[object, ...], kept: str
) -> None:
    context.log.info(message, *args)
    assert lines(context) == [("info", kept)]


def test_lines_are_passed_on_to_logging(context: JobContext, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tidewheel.job"):
        context.log.debug("not this one")
        context.log.error("100%% of %s", "it")
        context.add_line(LogLine(0, "loud", "of a child"))

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", f"handler {context.id}: 100% of it"),
        ("INFO", f"handler {context.id}: of a child"),
    ]


def test_progress_that_cannot_be_encoded(context: JobContext) -> None:
    with pytest.raises(EncodeError, match="The progress of handler"):
        context.progress(object())
    with pytest.raises(EncodeError, match="NaN"):
        context.progress(float("nan"))


def test_a_lost_job_must_not_say_anything_any_more(context: JobContext) -> None:
    context.lost = True

    says: list[Callable[[], None]] = [lambda: context.progress(1), lambda: context.log.info("x"), context.check]
    for say in says:
        with pytest.raises(LeaseLost):
            say()


def test_no_progress_is_lost_between_threads(context: JobContext) -> None:
    """Whoever takes news clears what it took and nothing else."""
    last, stop = [""], threading.Event()

    def take() -> None:
        while not stop.is_set():
            last[0] = context.take_news()[0] or last[0]

    taker = threading.Thread(target=take)
    taker.start()
    for number in range(20_000):
        context.progress(number)
    stop.set()
    taker.join(PATIENCE)
    assert (context.take_news()[0] or last[0]) == "19999"


async def test_the_beat_writes_news_while_the_handler_runs(app: App) -> None:
    leave = asyncio.Event()

    @app.task
    async def handler() -> None:
        current_job().progress({"done": 1})
        current_job().log.info("half way")
        await leave.wait()

    job = await handler.enqueue()
    async with running(app):
        await until(job.logs)
        assert await job.state() is JobState.RUNNING
        assert await job.progress() == {"done": 1}
        assert [line.message for line in await job.logs()] == ["half way"]
        leave.set()


@pytest.mark.parametrize("failing", [False, True])
async def test_the_settlement_writes_the_last_news(app: App, failing: bool) -> None:
    @app.task(retry=1)
    def handler() -> None:
        current_job().progress(100)
        current_job().log.info("the last words")
        if failing:
            raise ValueError("x")

    job = await handler.enqueue()
    async with running(app):
        await asyncio.wait({asyncio.ensure_future(job.result(PATIENCE))})
    assert await job.progress() == 100
    assert [line.message for line in await job.logs()] == ["the last words"]


async def test_an_outcome_does_not_overtake_a_beat_that_writes_the_last_words() -> None:
    """The store refuses what a beat says of a job that has ended: the lines would be gone."""
    app, store = faulty_app()
    leave = asyncio.Event()

    @app.task
    async def handler() -> str:
        current_job().log.info("while the beat is held")
        current_job().progress(1)
        await leave.wait()
        current_job().log.info("at the end")
        return "done"

    job = await handler.enqueue()
    async with running(app) as worker:
        await until(lambda: worker._attempts)
        (attempt,) = worker._attempts.values()
        store.holds["beat"] = threading.Event()
        await until(lambda: attempt.context.borrowed)
        leave.set()
        await until(lambda: worker.done)
        await asyncio.sleep(0)
        assert store.calls["settle"] == 0
        store.holds["beat"].set()
        assert await job.result(PATIENCE) == "done"
    assert [line.message for line in await job.logs()] == ["while the beat is held", "at the end"]
    assert await job.progress() == 1


async def test_news_survive_a_store_that_is_away() -> None:
    app, store = faulty_app()
    leave = asyncio.Event()

    @app.task
    async def handler() -> None:
        store.away.add("beat")
        current_job().progress(7)
        current_job().log.info("kept")
        await leave.wait()

    job = await handler.enqueue()
    async with running(app):
        await until(lambda: store.calls["beat"] >= 3)
        store.away.clear()
        await until(job.logs)
        assert await job.progress() == 7
        leave.set()
        await job.result(PATIENCE)
    assert [line.message for line in await job.logs()] == ["kept"]


# --- stopping ---


def test_check_leaves_when_it_should(context: JobContext) -> None:
    context.check()
    context.stop("cancel")

    assert context.cancelled
    with pytest.raises(Cancel, match="cancel"):
        context.check()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (["cancel", "timeout"], "cancel"),
        (["shutdown", "cancel"], "shutdown"),
        ([SOFT_TIMEOUT, "cancel"], "cancel"),
        ([SOFT_TIMEOUT, "timeout"], "timeout"),
        ([SOFT_TIMEOUT, "shutdown", "cancel"], "shutdown"),
        (["cancel", SOFT_TIMEOUT], "cancel"),
        ([SOFT_TIMEOUT, SOFT_TIMEOUT], SOFT_TIMEOUT),
    ],
)
def test_the_first_reason_stays_but_for_a_soft_timeout(context: JobContext, told: list[str], reason: str) -> None:
    calls: list[str] = []
    context.on_stop(lambda: calls.append(context.stop_reason))

    for one in told:
        context.stop(one)

    assert context.stop_reason == reason
    assert calls == list(dict.fromkeys([told[0], reason]))


def test_who_asks_late_is_told_at_once(context: JobContext) -> None:
    context.stop("cancel")

    calls: list[int] = []
    context.on_stop(lambda: calls.append(1))
    assert calls == [1]
    assert context.wait_stopped(0)


def test_wait_stopped_wakes_up_when_told(context: JobContext) -> None:
    assert not context.wait_stopped(0.001)

    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(context.wait_stopped(PATIENCE)))
    waiter.start()
    context.stop("cancel")
    waiter.join(PATIENCE)
    assert answers == [True]


async def test_wait_cancelled_wakes_up_when_told_from_any_thread(context: JobContext) -> None:
    waiting = asyncio.create_task(context.wait_cancelled())
    await asyncio.sleep(0)

    await asyncio.to_thread(context.stop, "shutdown")
    assert await asyncio.wait_for(waiting, PATIENCE) == "shutdown"
    assert await context.wait_cancelled() == "shutdown"


async def test_waiting_for_a_cancel_leaves_nothing_behind(context: JobContext) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(context.wait_cancelled(), 0.001)
    assert context._on_stop == ()


@pytest.mark.parametrize("run_in", ["loop", "thread"])
async def test_a_cancel_reaches_the_handler(app: App, run_in: str) -> None:
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def in_loop() -> str:
        entered.set()
        return await current_job().wait_cancelled()

    def in_thread() -> str:
        loop.call_soon_threadsafe(entered.set)
        assert current_job().wait_stopped(PATIENCE)
        return current_job().stop_reason

    task: Any = app.task(in_loop if run_in == "loop" else in_thread)
    job = await task.enqueue()
    async with running(app):
        await asyncio.wait_for(entered.wait(), PATIENCE)
        assert await job.cancel()
        await asyncio.wait({asyncio.ensure_future(job.result(PATIENCE))})
    # An async handler is interrupted, a thread can only be asked, and this one came to a good end.
    assert await job.state() is (JobState.CANCELLED if run_in == "loop" else JobState.COMPLETED)
    if run_in == "thread":
        assert await job.result() == "cancel"
