"""The operation runner: tries, timeouts, batches, cache and numbers, without one real wait."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tidewheel._env import Env
from tidewheel._model.errors import Retry
from tidewheel._operations import OperationConfig, OperationMetrics, OperationRunner

START = 1_700_000_000_000_000


class Bench:
    """A runner whose time moves only when it sleeps or when a test says so."""

    def __init__(self, **settings: Any) -> None:
        self.now = START
        self.slept: list[float] = []
        env = Env(clock=lambda: self.now, random=random.Random(1))
        self.runner = OperationRunner(OperationConfig(**{"backoff": "2s"} | settings), env=env, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_time(seconds)
        await asyncio.sleep(0)

    def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * 1_000_000)


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or OSError("down")
        self.calls = 0

    async def __call__(self, answer: str = "up") -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return answer


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every timeout is over as soon as the operation waits for something."""
    monkeypatch.setattr("tidewheel._operations.runner._deadline", lambda _seconds: asyncio.timeout(0))


async def add(left: int, *, right: int = 0) -> int:
    return left + right


def add_plain(left: int, *, right: int = 0) -> int:
    return left + right


class TestRun:
    async def test_success(self) -> None:
        bench = Bench()

        async def slow() -> int:
            bench.pass_time(1.25)
            return 7

        result = await bench.runner.run(slow)
        assert result.success
        assert (result.data, result.error, result.exception) == (7, None, None)
        assert (result.duration, result.retries) == (1.25, 0)
        assert result.timestamp == datetime.fromtimestamp(START / 1e6 + 1.25, UTC)
        assert result.unwrap() == 7

    async def test_it_tries_again_with_growing_delays(self) -> None:
        bench = Bench(retries=5, backoff=OperationConfig().backoff)
        result = await bench.runner.run(Flaky(4), "fine")
        assert result.unwrap() == "fine"
        assert result.retries == 4
        assert result.duration == pytest.approx(sum(bench.slept))
        for slept, most in zip(bench.slept, (2, 4, 8, 10), strict=True):
            assert 0.9 * most <= slept <= most

    async def test_failure_is_a_value(self) -> None:
        bench, operation = Bench(retries=2), Flaky(99)
        result = await bench.runner.run(operation)
        assert not result.success
        assert (result.data, result.error, result.retries) == (None, "OSError: down", 2)
        assert operation.calls == 3
        with pytest.raises(OSError, match="down"):
            result.unwrap()

    async def test_none_is_a_success(self) -> None:
        result = await Bench().runner.run(asyncio.sleep, 0)
        assert result.success
        assert result.unwrap() is None

    async def test_no_retries(self) -> None:
        bench = Bench(retries=0)
        assert (await bench.runner.run(Flaky(1))).retries == 0
        assert bench.slept == []

    async def test_errors_that_are_never_retried(self) -> None:
        bench = Bench(never=ValueError)
        assert (await bench.runner.run(Flaky(1, ValueError("bad")))).retries == 0
        assert (await bench.runner.run(Flaky(1))).retries == 1

    async def test_an_operation_may_ask_for_its_own_delay(self) -> None:
        bench = Bench()
        assert (await bench.runner.run(Flaky(1, Retry(after="30s")))).success
        assert bench.slept == [30]

    @pytest.mark.parametrize(
        "operation",
        [
            add,
            add_plain,
            partial(add, right=2),
            partial(add_plain, right=2),
            lambda left, right: add(left, right=right),
            AsyncMock(return_value=3),
        ],
    )
    async def test_whatever_can_be_called(self, operation: Callable[..., Any]) -> None:
        assert (await Bench().runner.run(operation, 1, right=2)).unwrap() == 3

    async def test_an_operation_that_takes_too_long(self, no_patience: None) -> None:
        bench = Bench(retries=1, timeout="20s")
        cleaned: list[bool] = []

        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)

        result = await bench.runner.run(hang)
        assert isinstance(result.exception, TimeoutError)
        assert result.error is not None
        assert result.error.startswith("TimeoutError: ")
        assert result.error.endswith("hang took longer than 20s")
        assert cleaned == [True, True]

    async def test_a_timeout_of_the_operations_own_is_its_own(self) -> None:
        result = await Bench(retries=0).runner.run(Flaky(1, TimeoutError("theirs")))
        assert result.error == "TimeoutError: theirs"

    @pytest.mark.parametrize("error", [StopIteration(), ExceptionGroup("both", [OSError(), ValueError()])])
    async def test_odd_exceptions(self, error: Exception) -> None:
        def fail() -> None:
            raise error

        assert not (await Bench(retries=0).runner.run(fail)).success

    async def test_cancellation_passes_through_and_is_not_counted(self) -> None:
        bench = Bench()
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        task = asyncio.create_task(bench.runner.run(wait))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled.is_set()
        assert bench.runner.metrics.operations == 0

    async def test_exits_pass_through(self) -> None:
        def leave() -> None:
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            await Bench().runner.run(leave)


class TestPlainFunctions:
    async def test_they_run_in_a_thread_with_the_callers_context(self) -> None:
        user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
        user.set("ada")
        threads = await Bench().runner.run(lambda: (threading.current_thread(), user.get()))
        thread, name = threads.unwrap()
        assert thread is not threading.main_thread()
        assert thread.daemon
        assert name == "ada"

    async def test_one_that_hangs_is_left_alone_and_not_tried_again(self, no_patience: None) -> None:
        bench, gate, calls = Bench(concurrency=1), threading.Event(), []

        def hang() -> None:
            calls.append(threading.current_thread())
            gate.wait()

        for _ in range(2):  # the second needs the thread's place
            result = await bench.runner.run(hang)
            assert isinstance(result.exception, TimeoutError)
            assert result.retries == 0
        gate.set()
        for thread in calls:
            thread.join()

    async def test_so_many_at_once_and_no_more(self) -> None:
        bench, lock, peak, running = Bench(concurrency=3), threading.Lock(), 0, 0
        together = threading.Barrier(3)

        def work() -> None:
            nonlocal peak, running
            with lock:
                running += 1
                peak = max(peak, running)
            together.wait()
            with lock:
                running -= 1

        results = await asyncio.gather(*(bench.runner.run(work) for _ in range(9)))
        assert all(result.success for result in results)
        assert peak == 3

    def test_a_runner_outlives_its_event_loop(self) -> None:
        bench = Bench(concurrency=1)

        async def twice() -> list[int]:
            runs = await asyncio.gather(*(bench.runner.run(add_plain, number) for number in range(3)))
            return [run.unwrap() for run in runs]

        assert asyncio.run(twice()) == asyncio.run(twice()) == [0, 1, 2]


class TestBatch:
    async def test_some_may_fail(self) -> None:
        async def half(number: int) -> float:
            if number % 3 == 0:
                raise ValueError(f"{number} is odd")
            return number / 2

        bench = Bench(retries=1, batch_size=4, concurrency=2)
        batch = await bench.runner.run_batch(half, range(1, 11))
        assert not batch.success
        assert batch.data == [0.5, 1, 2, 2.5, 3.5, 4, 5]
        assert {place: result.error for place, result in batch.failed.items()} == {
            2: "ValueError: 3 is odd",
            5: "ValueError: 6 is odd",
            8: "ValueError: 9 is odd",
        }
        assert batch.error == "3 of 10 failed; the first: ValueError: 3 is odd"
        assert batch.retries == 3
        assert [result.data for result in batch.results] == [0.5, 1, None, 2, 2.5, None, 3.5, 4, None, 5]
        assert batch.duration == pytest.approx(sum(bench.slept))

    async def test_all_well(self) -> None:
        batch = await Bench().runner.run_batch(add_plain, [1, 2, 3])
        assert batch.success
        assert batch.error is None
        assert batch.data == [1, 2, 3]

    async def test_nothing_to_do(self) -> None:
        batch = await Bench().runner.run_batch(add, [])
        assert batch.success
        assert (batch.data, batch.results, batch.duration) == ([], (), 0)

    async def test_items_are_taken_in_batches_and_run_so_many_at_once(self) -> None:
        taken = running = peak = 0
        ahead: list[int] = []

        def items() -> Iterator[int]:
            nonlocal taken
            for number in range(10):
                taken += 1
                yield number

        async def work(number: int) -> int:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            ahead.append(taken - number)
            await asyncio.sleep(0)
            running -= 1
            return number

        batch = await Bench(batch_size=4, concurrency=3).runner.run_batch(work, items())
        assert batch.data == list(range(10))
        assert peak == 3
        assert max(ahead) == 4

    async def test_cancellation_stops_the_whole_batch(self) -> None:
        bench, started, ended = Bench(), asyncio.Event(), []

        async def wait(number: int) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(number)

        task = asyncio.create_task(bench.runner.run_batch(wait, range(3)))
        await started.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(ended) == [0, 1, 2]


class TestMetrics:
    async def test_numbers(self) -> None:
        bench = Bench(retries=1)
        assert bench.runner.metrics == OperationMetrics()
        assert bench.runner.metrics.error_rate == 0
        await bench.runner.run(Flaky(99))
        for _ in range(3):
            await bench.runner.fetch("key", "1m", add, 1)
        await bench.runner.run_batch(add, [1, 2])
        assert bench.runner.metrics == OperationMetrics(
            operations=4, errors=1, retries=1, average_duration=0.5, cache_size=1
        )
        assert bench.runner.metrics.error_rate == 0.25
        bench.pass_time(60)
        assert bench.runner.metrics.cache_size == 0

    async def test_reset(self) -> None:
        bench = Bench()
        await bench.runner.fetch("key", 60, add, 1)
        bench.runner.reset_metrics()
        assert bench.runner.metrics == OperationMetrics(cache_size=1)

    async def test_a_clock_that_steps_back_makes_no_negative_durations(self) -> None:
        bench = Bench()
        result = await bench.runner.run(lambda: bench.pass_time(-3600))
        assert result.duration == 0
