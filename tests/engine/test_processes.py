"""CPU-bound handlers in child processes: answers, errors, kills, and children that never outlive their worker."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.engine import _handlers as handlers
from tests.engine._kit import PATIENCE, Ears, attempt_of, row, running, until

from tidewheel import App, JobCancelled, JobFailed, JobState, Rate, RetryPolicy
from tidewheel._engine import child
from tidewheel._engine.processes import ProcessExecutor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def process(app: App) -> Callable[..., Any]:
    def make(fn: Callable[..., Any], **settings: Any) -> Any:
        return app.task(run_in="process", **settings)(fn)

    return make


def alive(pid: int) -> bool:
    """Whether any thread of a process is left; the rest of one that nobody waited for does not count."""
    try:
        states = [
            task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except OSError:  # gone while we looked
        return Path(f"/proc/{pid}").exists()
    return states != ["Z"]


async def test_children_give_results_context_and_news(app: App, process: Callable[..., Any]) -> None:
    whoami = process(handlers.whoami)
    jobs = [await process(handlers.double).enqueue(21), await process(handlers.decorated.fn, name="d").enqueue(4)]
    who = [await whoami.options(meta={"a": 1}).enqueue() for _ in range(2)]

    async with running(app, processes=1):
        assert [await job.result(PATIENCE) for job in jobs] == [42, 8]
        first, second = [await job.result(PATIENCE) for job in who]

    assert first["pid"] == second["pid"] != os.getpid()
    await until(lambda: not alive(first["pid"]))
    assert {one["id"] for one in (first, second)} == {job.id for job in who}
    assert first["fence"] == f"{first['id']}:1"
    assert first["meta"] == {"a": 1}
    assert await who[0].progress() == {"half": True}
    assert [(line.level, line.message) for line in await who[0].logs()] == [("warning", r"caf\udce9")]


ENDS: dict[str, tuple[JobState, str, str]] = {
    "simple": (JobState.DISCARDED, "tests.engine._handlers.Simple", r"caf\udce9"),
    "demanding": (JobState.DISCARDED, "tests.engine._handlers.Demanding", "404 no such customer"),
    "unpicklable": (JobState.DISCARDED, "tests.engine._handlers.Unpicklable", "stays here"),
    "local": (JobState.RETRYABLE, "tests.engine._handlers.local.<locals>.Local", "nowhere to be found"),
    "retry": (JobState.RETRYABLE, "tidewheel.Retry", "later"),
    "snooze": (JobState.SCHEDULED, "", ""),
    "cancel": (JobState.CANCELLED, "", ""),
    "stop": (JobState.RETRYABLE, "StopIteration", "empty"),
    "interrupt": (JobState.RETRYABLE, "KeyboardInterrupt", ""),
    "sys.exit": (JobState.RETRYABLE, "SystemExit", "3"),
    "os._exit": (JobState.RETRYABLE, "tidewheel._engine.processes.ProcessDied", "exit code 3"),
    "kill": (JobState.RETRYABLE, "tidewheel._engine.processes.ProcessDied", "exit code -9"),
    "unencodable": (JobState.DISCARDED, "tidewheel.EncodeError", "The result of fail cannot be encoded"),
    "nan": (JobState.DISCARDED, "tidewheel.EncodeError", "NaN"),
}


async def test_a_child_may_hold_the_limits_of_its_job(app: App, process: Callable[..., Any]) -> None:
    await process(handlers.fail, rate=Rate(9, per=1, name="vendor")).enqueue("hold")
    ears = Ears(app, "job.failed")

    async with running(app, processes=1):
        outcome = (await ears.next("job.failed")).data["outcome"]

    assert (outcome.after, outcome.hold) == (3_600_000_000, ("vendor",))


async def test_every_end_of_a_child_has_its_outcome(app: App, process: Callable[..., Any]) -> None:
    """Rules about errors hold for classes that come back as they are, and for those that do not."""
    never = (handlers.Simple, handlers.Demanding, "tests.engine._handlers.Unpicklable")
    fail = process(handlers.fail, retry=RetryPolicy(3, "1h", never=never))
    jobs = {how: await fail.enqueue(how) for how in ENDS}
    ears = Ears(app, "job.failed", "job.discarded", "job.snoozed", "job.cancelled")

    async with running(app, processes=2):
        await until(lambda: len(ears.heard) == len(ENDS))

    for how, (state, error_type, message) in ENDS.items():
        job = await row(app, jobs[how].id)
        assert job.state is state, how
        if error_type:
            assert job.error is not None
            assert job.error.type == error_type
            assert message in job.error.message
        if how in {"simple", "demanding", "unpicklable", "local"}:
            assert job.error is not None
            assert "in fail\n    raise " in job.error.traceback


async def test_the_stack_of_a_child_is_cut_as_the_app_says(app: App, process: Callable[..., Any]) -> None:
    app.max_traceback = 10
    job = await process(handlers.fail, retry=1).enqueue("simple")
    ears = Ears(app, "job.discarded")
    async with running(app, processes=1):
        await ears.next("job.discarded")
    error = (await row(app, job.id)).error
    assert error is not None
    head, _, kept = error.traceback.partition(" cut ...\n")
    assert head.startswith("... ")
    assert len(kept) == 10


def test_a_rule_by_name_holds_for_a_class_that_only_the_child_knows() -> None:
    from random import Random

    from tidewheel._engine.processes import _rebuilt
    from tidewheel._model.job import ErrorInfo
    from tidewheel._model.retry import GiveUp

    info = ErrorInfo("only.there.Strange", "odd", "Traceback ...")
    policy = RetryPolicy(never=("only.there.Strange",))

    assert isinstance(policy.decide(1, _rebuilt(info, None), 0, Random(0)), GiveUp)
    assert not isinstance(RetryPolicy().decide(1, _rebuilt(info, b"broken"), 0, Random(0)), GiveUp)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that does not end when asked to is killed after a moment."""
    monkeypatch.setattr("tidewheel._engine.worker._ABANDON", 0.1)


async def test_a_timeout_kills_the_child_and_the_next_job_gets_another(
    app: App, process: Callable[..., Any], tmp_path: Path
) -> None:
    whoami, deaf = process(handlers.whoami), process(handlers.deaf, retry=1)
    async with running(app, processes=1):
        first = await (await whoami.enqueue()).result(PATIENCE)  # from here on the child is warm
        with pytest.raises(JobFailed, match="longer than its timeout"):
            await (await deaf.options(timeout=0.2).enqueue(str(tmp_path / "file"))).result(PATIENCE)
        await until(lambda: not alive(first["pid"]))
        assert (await (await whoami.enqueue()).result(PATIENCE))["pid"] != first["pid"]
    assert (tmp_path / "file").read_text() == str(first["pid"])


@pytest.mark.usefixtures("soon")
async def test_a_cancel_asks_and_then_kills_and_a_kill_from_outside_is_a_failure(
    app: App, process: Callable[..., Any], tmp_path: Path
) -> None:
    files = {name: tmp_path / name for name in ("asked", "forced", "killed")}
    spin, deaf = process(handlers.spin, retry=1), process(handlers.deaf, retry=1)
    jobs = {name: await (spin if name == "asked" else deaf).enqueue(str(file)) for name, file in files.items()}

    async with running(app, processes=3):
        await until(lambda: all(file.exists() and file.read_text() for file in files.values()))
        pids = {name: int(file.read_text()) for name, file in files.items()}
        assert len(set(pids.values())) == 3

        os.kill(pids["killed"], signal.SIGKILL)
        with pytest.raises(JobFailed, match="exit code -9"):
            await jobs["killed"].result(PATIENCE)

        await jobs["asked"].cancel()
        await asyncio.wait({asyncio.ensure_future(jobs["asked"].result(PATIENCE))})
        await jobs["forced"].cancel()
        with pytest.raises(JobCancelled):
            await jobs["forced"].result(PATIENCE)

        await until(lambda: not any(alive(pids[name]) for name in ("forced", "killed")))
    # It heard the wish and came to its end; on a slow machine it may have been killed before it did.
    assert await jobs["asked"].state() in {JobState.COMPLETED, JobState.CANCELLED}
    await until(lambda: not alive(pids["asked"]))


async def test_a_child_that_died_while_idle_is_replaced(app: App, process: Callable[..., Any]) -> None:
    whoami = process(handlers.whoami)
    async with running(app, processes=1):
        first = await (await whoami.enqueue()).result(PATIENCE)
        os.kill(first["pid"], signal.SIGKILL)
        await until(lambda: not alive(first["pid"]))
        second = await (await whoami.enqueue()).result(PATIENCE)
    assert second["pid"] != first["pid"]
    assert second["attempt"] == 1


async def test_a_stop_that_comes_before_the_child_has_started_is_heard(app: App, tmp_path: Path) -> None:
    task: Any = app.task(run_in="process")(handlers.spin)
    attempt = attempt_of(task, str(tmp_path / "file"))
    executor = ProcessExecutor(1)

    attempt.context.stop("cancel")
    assert await asyncio.wait_for(executor.call(attempt), PATIENCE) == '"cancel"'

    late = attempt_of(task, str(tmp_path / "file"))
    child = executor._idle[0]
    child.wind_up(attempt.claimed.lease, "too late for it")  # and none of the next one's business
    running_late = asyncio.create_task(executor.call(late))
    await until(lambda: late.context._on_stop)
    late.context.stop("soft timeout")
    late.context.stop("cancel")
    assert await asyncio.wait_for(running_late, PATIENCE) in {'"soft timeout"', '"cancel"'}
    executor.close()


async def test_a_stop_that_overtakes_the_end_of_the_job_before_is_heard(app: App) -> None:
    """The worker sends the next job and its stop as soon as it has the answer: the child may not be done with the first."""
    line: queue.SimpleQueue[Any] = queue.SimpleQueue()
    channel = child._Channel(SimpleNamespace(recv=line.get))  # type: ignore[arg-type]
    task: Any = app.task(run_in="process")(handlers.double)
    first, second, third = (attempt_of(task, number) for number in range(3))
    line.put(("run", "first"))
    assert channel.next_run() == ("run", "first")
    channel.attend([first.context])
    for message in [("run", "second"), ("stop", tuple(second.claimed.lease), "cancel")]:
        line.put(message)
    assert channel.next_run() == ("run", "second")
    await until(lambda: channel._stops)
    channel.rest()
    channel.attend([second.context])
    assert (first.context.stop_reason, second.context.stop_reason) == ("", "cancel")

    channel.rest()
    channel.attend([third.context])
    assert third.context.stop_reason == ""
    assert channel._stops == {}  # what comes too late is not kept for ever


async def test_a_call_that_is_given_up_while_its_child_starts_keeps_the_child(app: App) -> None:
    task: Any = app.task(run_in="process")(handlers.double)
    executor = ProcessExecutor(1)

    call = asyncio.create_task(executor.call(attempt_of(task, 1)))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    await until(lambda: executor._idle)
    (child,) = executor._all
    assert await asyncio.wait_for(executor.call(attempt_of(task, 2)), PATIENCE) == "4"
    assert executor._all == {child}
    executor.close()
    await until(lambda: not child.alive())


async def test_what_a_child_prints_is_harmless(
    app: App, process: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    job = await process(handlers.noisy).enqueue()
    async with running(app, processes=1):
        assert await job.result(PATIENCE) == ""  # no terminal to read from
    out, err = capfd.readouterr()
    assert {"from the child", "and again", "raw", "grandchild"} <= set(out.splitlines())
    assert "to stderr" in err


CHILD_OF_A_WORKER = """
import asyncio, sys
from tests.engine import _handlers as handlers
from tidewheel import App

app = App("memory://")
deaf = app.task(run_in="process")(handlers.deaf)

async def main():
    await deaf.enqueue(sys.argv[1])
    await app.worker(processes=1, signals=False).run()

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_a_child_does_not_outlive_a_killed_worker(tmp_path: Path) -> None:
    script, file = tmp_path / "script.py", tmp_path / "file"
    script.write_text(CHILD_OF_A_WORKER)
    root = Path(__file__).parents[2]
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        str(file),
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))},
    )
    await until(lambda: file.exists() and file.read_text())
    child = int(file.read_text())
    assert alive(child)

    worker.kill()
    await worker.wait()
    await until(lambda: not alive(child))


async def test_a_shutdown_hands_the_job_back(app: App, process: Callable[..., Any], tmp_path: Path) -> None:
    job = await process(handlers.deaf).enqueue(str(tmp_path / "file"))
    async with running(app, processes=1, grace=0):
        await until(lambda: (tmp_path / "file").exists() and (tmp_path / "file").read_text())
    await until(lambda: not alive(int((tmp_path / "file").read_text())))
    handed_back = await row(app, job.id)
    assert (handed_back.state, handed_back.attempt, handed_back.crashes) == (JobState.AVAILABLE, 0, 0)
