"""The runner: whatever a handler does becomes an outcome, and never an exception of the engine."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, attempt_of

from tidewheel import (
    App,
    Cancel,
    LeaseLost,
    Rate,
    Retry,
    RetryPolicy,
    Snooze,
    current_job,
    custom,
    exponential,
    fixed,
)
from tidewheel._context import SOFT_TIMEOUT
from tidewheel._engine.attempt import Attempt
from tidewheel._engine.executors import LoopExecutor
from tidewheel._engine.runner import Runner
from tidewheel._model.duration import SECOND
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Snoozed
from tidewheel.testing import FakeClock, fake_env


class Bench:
    """An app whose clock stands still, and a runner for single attempts."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.app = App("memory://", env=fake_env(self.clock), retry=RetryPolicy(3, fixed("10s")))
        self.runner = Runner(self.clock, random.Random(0), lambda attempt, reason: attempt.interrupt(reason))
        self.executor = LoopExecutor(10)

    def attempt(
        self, fn: Callable[..., Any], *args: Any, job: dict[str, Any] | None = None, **settings: Any
    ) -> Attempt:
        task = self.app.task(name=f"task{len(self.app.tasks)}", **settings)(fn)
        return attempt_of(task, *args, **(job or {}))

    async def run(self, attempt: Attempt) -> Outcome:
        async def work() -> None:
            outcomes.append(await self.runner.run(attempt, self.executor.call))

        outcomes: list[Outcome] = []
        attempt.handle = asyncio.create_task(work())
        await asyncio.wait_for(attempt.handle, PATIENCE)
        return outcomes[0]

    async def outcome(self, fn: Callable[..., Any], *args: Any, **more: Any) -> Outcome:
        return await self.run(self.attempt(fn, *args, **more))

    async def raised(self, error: BaseException, **more: Any) -> Outcome:
        async def handler() -> None:
            raise error

        return await self.outcome(handler, **more)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def retried(outcome: Outcome) -> RetryLater:
    assert isinstance(outcome, RetryLater), outcome
    return outcome


def discarded(outcome: Outcome) -> Discarded:
    assert isinstance(outcome, Discarded), outcome
    return outcome


# --- answers ---


async def test_what_the_handler_returns_is_the_result(bench: Bench) -> None:
    async def handler(a: int) -> dict[str, int]:
        return {"a": a}

    assert await bench.outcome(handler, 5) == Complete('{"a":5}')


async def test_a_handler_without_a_result(bench: Bench) -> None:
    async def handler() -> None: ...

    assert await bench.outcome(handler) == Complete("null")


async def test_the_signals(bench: Bench) -> None:
    assert retried(await bench.raised(Retry("later", after="1m"))).after == 60 * SECOND
    assert retried(await bench.raised(Retry("by the policy"))).after == 10 * SECOND
    assert await bench.raised(Snooze("2h")) == Snoozed(7200 * SECOND)
    assert await bench.raised(Cancel("not needed any more")) == Cancelled("not needed any more")


async def test_a_retry_may_hold_the_limits_of_its_job(bench: Bench) -> None:
    limits = {"concurrency": 5, "rate": Rate(1, per=1, name="vendor")}

    async def held(hold: Any) -> RetryLater:
        return retried(await bench.raised(Retry("not yet", after="30s", hold=hold), **limits))

    both = (f"task{len(bench.app.tasks)}.concurrency", "vendor")
    assert (await held(True)).hold == both
    assert (await held(True)).after == 30 * SECOND
    assert (await held("vendor")).hold == ("vendor",)
    assert (await held(["vendor"])).hold == ("vendor",)
    assert (await held(False)).hold == ()
    assert retried(await bench.raised(Retry("by the policy", hold="vendor"), **limits)).after == 10 * SECOND
    assert retried(await bench.raised(OSError("no Retry"), **limits)).hold == ()


async def test_a_hold_of_a_limit_the_task_does_not_have_is_said(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    assert retried(await bench.raised(Retry("x", hold=["vendr", "v"]), rate=Rate(1, per=1, name="v"))).hold == ("v",)
    assert "asked to hold vendr; the limits of its task are: v." in caplog.text
    assert retried(await bench.raised(Retry("x", hold=True))).hold == ()
    assert "asked to hold its limits; the limits of its task are: none." in caplog.text


def test_a_hold_that_is_none() -> None:
    wrong: Any
    for wrong in (5, [5], None):
        with pytest.raises(TypeError, match="must be True, the name of a limit, or several names"):
            Retry(hold=wrong)


async def test_a_retry_that_has_no_attempt_left_is_given_up(bench: Bench) -> None:
    last = {"attempt": 3, "max_attempts": 3}

    assert discarded(await bench.raised(Retry("once more", after=1), job=last)).error.message == "once more"
    assert await bench.raised(Snooze(1), job=last) == Snoozed(SECOND)


async def test_signals_carry_what_any_store_can_hold(bench: Bench) -> None:
    assert await bench.raised(Cancel("caf\udce9")) == Cancelled(r"caf\udce9")
    assert await bench.raised(Cancel(404)) == Cancelled("404")  # type: ignore[arg-type]


# --- failures by policy ---


async def test_an_error_is_retried_by_the_policy_and_described(bench: Bench) -> None:
    async def handler() -> None:
        raise LookupError("no such customer")

    outcome = retried(await bench.outcome(handler))

    assert outcome.after == 10 * SECOND
    assert (outcome.error.type, outcome.error.message) == ("LookupError", "no such customer")
    assert 'raise LookupError("no such customer")' in outcome.error.traceback


async def test_the_last_attempt_is_given_up(bench: Bench) -> None:
    assert retried(await bench.raised(ValueError("x"), job={"attempt": 2}))
    assert discarded(await bench.raised(ValueError("x"), job={"attempt": 3}))
    assert discarded(await bench.raised(ValueError("x"), retry=1))


async def test_the_jobs_own_number_of_attempts_counts(bench: Bench) -> None:
    assert retried(await bench.raised(ValueError("x"), job={"attempt": 5, "max_attempts": 9}))


async def test_the_jobs_own_policy_goes_before_the_tasks(bench: Bench) -> None:
    async def handler() -> None:
        raise ValueError("x")

    task = bench.app.task(handler)
    options = task.options(retry=RetryPolicy(9, exponential("1m", jitter=0.0)), timeout=5).job().new.options

    attempt = attempt_of(task, options=options, attempt=4, max_attempts=9)
    assert retried(await bench.run(attempt)).after == 8 * 60 * SECOND


class Temporary(Exception): ...


class Limited(Temporary): ...


@pytest.mark.parametrize(
    ("policy", "error", "after"),
    [
        (RetryPolicy(3, 1, never=(Temporary,)), Temporary(), None),
        (RetryPolicy(3, 1, never=(Temporary,)), Limited(), None),
        (RetryPolicy(3, 1, never=(Limited,)), Temporary(), 1),
        (RetryPolicy(3, 1, only=(Temporary,)), Limited(), 1),
        (RetryPolicy(3, 1, only=(Temporary,)), ValueError(), None),
        (RetryPolicy(3, 1, rules={Limited: 7}), Limited(), 7),
        (RetryPolicy(3, 1, rules={Limited: 7}), Temporary(), 1),
        (RetryPolicy(3, 1, never=("LookupError",)), KeyError("a"), None),
        (RetryPolicy(3, custom(lambda attempt, error: None)), ValueError(), None),
        (RetryPolicy(3, custom(lambda attempt, error: 1 // 0)), ValueError(), None),
    ],
)
async def test_rules_about_errors(bench: Bench, policy: RetryPolicy, error: Exception, after: int | None) -> None:
    outcome = await bench.raised(error, retry=policy)
    if after is None:
        assert discarded(outcome)
    else:
        assert retried(outcome).after == after * SECOND


async def test_the_time_budget_counts_from_the_enqueue(bench: Bench) -> None:
    policy = RetryPolicy(50, "1m", within="1h")
    enqueued = bench.clock()

    bench.clock.advance("59m")
    assert retried(await bench.raised(ValueError(), retry=policy, job={"enqueued_at": enqueued}))
    bench.clock.advance("1s")
    assert discarded(await bench.raised(ValueError(), retry=policy, job={"enqueued_at": enqueued}))


# --- what a retry cannot help ---


async def test_arguments_that_do_not_fit_any_more_are_given_up(bench: Bench) -> None:
    async def handler(a: int) -> None: ...

    outcome = discarded(await bench.outcome(handler, 1, job={"args": '{"b":1}'}))

    assert outcome.error.type.endswith("DecodeError")
    assert "Was the function changed" in outcome.error.message


async def test_a_result_that_cannot_be_stored_is_given_up(bench: Bench) -> None:
    async def handler() -> object:
        return object()

    outcome = discarded(await bench.outcome(handler))

    assert outcome.error.type.endswith("EncodeError")
    assert "The result of task0" in outcome.error.message


@pytest.mark.parametrize("options", ["{", '{"timeout":"x"}', '{"retry":{"attempts":0}}'])
async def test_options_that_cannot_be_read_are_given_up(bench: Bench, options: str) -> None:
    async def handler() -> None: ...

    assert discarded(await bench.outcome(handler, job={"options": options})).error.type.endswith("DecodeError")
    attempt = bench.attempt(handler, job={"options": options})
    assert discarded(bench.runner.interrupted(attempt))


# --- errors that would end a program ---


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        StopAsyncIteration(),
        MemoryError(),
        BaseExceptionGroup("several", [SystemExit(1), ValueError()]),
        type("Own", (BaseException,), {})(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_handler_raises_is_a_failure_of_its_job(bench: Bench, error: BaseException) -> None:
    outcome = retried(await bench.raised(error))

    assert outcome.error.type.rpartition(".")[2] == type(error).__name__


async def test_a_stop_iteration_is_what_python_makes_of_it(bench: Bench) -> None:
    assert retried(await bench.raised(StopIteration())).error.type == "RuntimeError"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Deadly(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize("error", [Mute(), Deadly()])
async def test_an_error_that_cannot_be_printed(bench: Bench, error: Exception) -> None:
    outcome = retried(await bench.raised(error))
    assert "could not be made" in outcome.error.message

    async def stopped() -> None:
        current_job().stop("cancel")
        raise error

    cancelled = await bench.outcome(stopped)
    assert isinstance(cancelled, Cancelled)
    assert type(error).__name__ in cancelled.reason


async def test_an_error_about_a_name_that_is_no_text(bench: Bench) -> None:
    """`open(b"caf\\xe9")` fails with a message no store can hold."""
    error = retried(await bench.raised(FileNotFoundError("caf\udce9"))).error

    assert error.message == r"caf\udce9"
    assert error.traceback.encode().endswith(rb"caf\udce9" + b"\n")


async def test_a_huge_stack_and_message_are_cut(bench: Bench) -> None:
    async def deep(n: int) -> None:
        if n:
            await deep_too(n - 1)
        raise ValueError("x" * 100_000)

    async def deep_too(n: int) -> None:
        await deep(n)

    error = retried(await bench.outcome(deep, 400)).error

    assert len(error.message) == 16_384
    assert len(error.traceback) < 16_500
    assert error.traceback.startswith("... ")
    assert error.traceback.endswith("x\n")


@pytest.mark.parametrize(("limit", "kept"), [(5, "x" * 4 + "\n"), (0, "")])
async def test_an_app_says_how_much_of_a_stack_is_kept(bench: Bench, limit: int, kept: str) -> None:
    async def fail() -> None:
        raise ValueError("x" * 50)

    bench.app.max_traceback = limit
    error = retried(await bench.outcome(fail)).error

    assert error.traceback.startswith("... ")
    assert error.traceback.partition(" characters cut ...\n")[2] == kept


async def test_a_lost_lease_hands_back_only_when_it_is_ours(bench: Bench) -> None:
    async def handler() -> None:
        current_job().lost = True
        current_job().progress(1)

    assert await bench.outcome(handler) == Released("lease lost")
    assert retried(await bench.raised(LeaseLost()))


# --- time ---


async def forever() -> None:
    await asyncio.Event().wait()


async def test_the_hard_timeout_is_a_failure_by_policy(bench: Bench) -> None:
    outcome = retried(await bench.outcome(forever, timeout=0.01))

    assert outcome.error.type == "TimeoutError"
    assert outcome.error.message == "the attempt took longer than its timeout"
    assert "in forever" in outcome.error.traceback
    assert discarded(await bench.outcome(forever, timeout=0.01, retry=RetryPolicy(never=(TimeoutError,))))


async def test_a_jobs_own_timeout_goes_before_its_tasks(bench: Bench) -> None:
    attempt = bench.attempt(forever, timeout=60, job={"options": '{"timeout":10000}'})
    assert retried(await bench.run(attempt)).error.type == "TimeoutError"


async def test_a_timer_of_an_attempt_that_has_ended_is_gone(bench: Bench) -> None:
    async def handler() -> None: ...

    attempt = bench.attempt(handler, timeout=0.01, soft_timeout=0.005)
    assert await bench.run(attempt) == Complete("null")
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, later.set)
    await later.wait()
    assert attempt.context.stop_reason == ""


async def test_the_soft_timeout_asks_and_the_handler_winds_up(bench: Bench) -> None:
    async def handler() -> str:
        return await current_job().wait_cancelled()

    assert await bench.outcome(handler, timeout=60, soft_timeout=0.01) == Complete(f'"{SOFT_TIMEOUT}"')


async def test_leaving_by_check_after_the_soft_timeout_is_a_failure_by_policy(bench: Bench) -> None:
    """As with Celery's SoftTimeLimitExceeded: the job was not done, so it must not end as if somebody cancelled it."""

    async def handler() -> None:
        await current_job().wait_cancelled()
        current_job().check()

    outcome = retried(await bench.outcome(handler, soft_timeout=0.01))
    assert outcome.error.message == "the attempt took longer than its soft timeout"


async def test_a_cancel_of_the_handlers_own_after_the_soft_timeout_is_a_cancel(bench: Bench) -> None:
    async def handler() -> None:
        await current_job().wait_cancelled()
        raise Cancel("this customer is too large")

    assert await bench.outcome(handler, soft_timeout=0.01) == Cancelled("this customer is too large")


async def test_the_hard_timeout_comes_after_the_soft_one(bench: Bench) -> None:
    attempt = bench.attempt(forever, timeout=0.02, soft_timeout=0.01)

    assert retried(await bench.run(attempt)).error.message == "the attempt took longer than its timeout"
    assert attempt.context.stop_reason == "timeout"


# --- interruptions ---


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("cancel", Cancelled("cancelled on request")),
        ("shutdown", Released("shutdown")),
        ("lease lost", Released("lease lost")),
    ],
)
async def test_an_interrupted_handler(bench: Bench, reason: str, expected: Outcome) -> None:
    attempt = bench.attempt(forever)
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, attempt.interrupt, reason)

    assert await bench.run(attempt) == expected
    assert bench.runner.interrupted(attempt) == expected


@pytest.mark.parametrize("reason", ["shutdown", "lease lost"])
async def test_what_a_handler_makes_of_its_interruption_burns_no_attempt(bench: Bench, reason: str) -> None:
    async def handler() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("closed in the middle") from None

    attempt = bench.attempt(handler)
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, attempt.interrupt, reason)
    assert await bench.run(attempt) == Released(reason)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("cancel", Cancelled("cancelled on request")), ("shutdown", Released("shutdown"))],
)
async def test_leaving_by_check(bench: Bench, reason: str, expected: Outcome) -> None:
    async def handler() -> None:
        current_job().stop(reason)
        current_job().check()

    assert await bench.outcome(handler) == expected


async def test_a_handler_that_ends_its_work_after_all_is_complete(bench: Bench) -> None:
    async def handler() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return "never"

    attempt = bench.attempt(handler, timeout=0.01)
    assert await bench.run(attempt) == Complete('"done all the same"')


async def test_a_failure_after_a_cancel_request_is_a_cancel_that_tells_the_error(bench: Bench) -> None:
    async def handler() -> None:
        current_job().stop("cancel")
        raise ValueError("torn")

    assert await bench.outcome(handler) == Cancelled("cancelled on request; it ended with ValueError: torn")
