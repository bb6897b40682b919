"""The app that the end-to-end and chaos tests run: bodies that write down what really happens to them.

`TIDEWHEEL_TEST_STORE` is its store when a worker imports it as `tests.e2e.apps.jobs:app`; tests call `build`.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from typing import Any, Final

from tests.e2e._history import HISTORY, write

from tidewheel import FOREVER, App, Env, Retention, RetryPolicy, Snooze, current_job, fixed

STORE: Final = "TIDEWHEEL_TEST_STORE"


def note(what: str, **more: Any) -> None:
    """Write down that the current job's body did something."""
    job = current_job()
    child = multiprocessing.parent_process()
    worker = os.getpid() if child is None else child.pid
    line = {"job": job.id, "kind": job.kind, "attempt": job.attempt, "epoch": job.epoch, "worker": worker}
    write(os.environ[HISTORY], what=what, **line, **more)


@contextlib.contextmanager
def noted() -> Iterator[None]:
    """Note the start of a body, and how it ends."""
    note("start")
    try:
        yield
    except asyncio.CancelledError:
        note("cut", why=current_job().stop_reason)
        raise
    except BaseException as error:
        note("fail", why=repr(error))
        raise
    note("end")


async def hop(seconds: float = 0.0) -> str:
    """An async job."""
    with noted():
        await asyncio.sleep(seconds)
    return current_job().fence


def step(seconds: float = 0.0) -> str:
    """A plain job that winds up when it is asked to."""
    job = current_job()
    note("start")
    if job.wait_stopped(seconds):
        note("cut", why=job.stop_reason)
        job.check()
    note("end")
    return job.fence


def crunch(seconds: float = 0.0) -> str:
    """A job in a process of its own; half of its time it computes."""
    with noted():
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(2_000))
            time.sleep(0.001)
    return current_job().fence


def deaf(seconds: float) -> None:
    """A plain job that does not listen."""
    with noted():
        time.sleep(seconds)


async def block(seconds: float) -> str:
    """An async job that blocks the event loop."""
    with noted():
        time.sleep(seconds)  # noqa: ASYNC251 -- that is the point
    return current_job().fence


async def shaky(failures: int) -> int:
    """Fails so many times, then succeeds."""
    with noted():
        if current_job().attempt <= failures:
            raise RuntimeError(f"attempt {current_job().attempt} fails on purpose")
    return current_job().attempt


async def sleepy(seconds: float) -> None:
    """Snoozes once, then succeeds. (The first epoch is the snooze.)"""
    with noted():
        if current_job().epoch == 1:
            raise Snooze(seconds)


async def until_cancelled() -> None:
    """Runs until somebody cancels it."""
    with noted():
        await asyncio.sleep(600)


async def poison(how: str) -> None:
    """Kills its worker: `exit` leaves without a word, `kill` is what the system does when memory is short."""
    note("start")
    note("dies")
    if how == "exit":
        os._exit(1)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # noqa: ASYNC251 -- it does not come to this


def poison_child() -> None:
    """Kills the process it runs in, which is not the worker's."""
    note("start")
    note("fail", why="kills its process")
    os._exit(1)


def forks() -> int | None:
    """Forks a process (as `multiprocessing` does by default before Python 3.14), and ends it politely."""
    with noted():
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join(10)
        code = child.exitcode
        child.kill()
    return code


async def tell(text: str) -> str:
    """Says something back."""
    with noted():
        pass
    return text


def build(
    url: str, *, crashes: int = 3, attempts: int = 3, kinds: frozenset[str] | None = None, env: Env | None = None
) -> App:
    """The app on a store, with all tasks or only those of `kinds`."""
    policy = RetryPolicy(attempts, fixed("0.1s"))
    app = App(url, retry=policy, retention=Retention(completed=FOREVER, failed=FOREVER), env=env)
    bodies: dict[str, Any] = {
        one.__name__: one
        for one in (hop, step, deaf, block, shaky, sleepy, until_cancelled, poison, forks, tell, crunch, poison_child)
    }
    for name, body in bodies.items():
        if kinds is None or name in kinds:
            where: Any = "process" if name in ("crunch", "poison_child") else None
            app.task(name=name, run_in=where, max_crashes=crashes)(body)
    return app


if STORE in os.environ:
    app = build(os.environ[STORE])
    few = build(os.environ[STORE], kinds=frozenset({"hop", "tell"}))
    many = build(os.environ[STORE], crashes=100, attempts=1000)
