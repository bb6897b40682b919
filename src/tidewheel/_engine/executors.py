"""Where handlers run: on the event loop, in threads, or in child processes. Each has its own number of slots,
and its claimer never takes more jobs than slots are free.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from tidewheel._engine.attempt import Attempt
from tidewheel._engine.batch_call import Answer, BatchCall, answers
from tidewheel._engine.runner import run_handler

T = TypeVar("T")


class Executor(Protocol):
    """Calls handlers and answers their results as JSON. Cancelling `call` gives the handler up."""

    slots: int

    async def call(self, attempt: Attempt) -> str:
        """Run the attempt's handler; raises what it raises."""
        ...

    async def call_batch(self, batch: BatchCall) -> list[Answer]:
        """Run a batch handler: an answer for each job; raises what it raises."""
        ...

    def close(self) -> None:
        """Let go of threads and processes."""
        ...


class LoopExecutor:
    """Async handlers, in the worker's own event loop."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    async def call(self, attempt: Attempt) -> str:
        """See `Executor.call`."""
        return attempt.task.codec.encode_result(await run_handler(attempt))

    async def call_batch(self, batch: BatchCall) -> list[Answer]:
        """See `Executor.call_batch`."""
        task = batch.task
        return answers(task.codec, task.name, await task.fn(batch.argument()), len(batch.items))

    def close(self) -> None:
        """Nothing to let go of."""


class ThreadExecutor:
    """Plain handlers, each in a thread of its own while it runs. Threads are kept for the next handler.

    A thread cannot be killed: one whose attempt was given up goes on, its slot is filled by a fresh thread,
    and what it still writes is refused. Threads are daemons, so none keeps the process from ending.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._idle: deque[_HandlerThread] = deque()
        self._closed = False

    async def call(self, attempt: Attempt) -> str:
        """See `Executor.call`."""
        context = contextvars.copy_context()

        def work() -> str:
            value = context.run(run_handler, attempt)
            return attempt.task.codec.encode_result(value)

        return await self._run(work)

    async def call_batch(self, batch: BatchCall) -> list[Answer]:
        """See `Executor.call_batch`."""
        context, task = contextvars.copy_context(), batch.task

        def work() -> list[Answer]:
            value = context.run(task.fn, batch.argument())
            return answers(task.codec, task.name, value, len(batch.items))

        return await self._run(work)

    async def _run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        thread = self._idle.pop() if self._idle else _HandlerThread()

        def done(value: Any, error: BaseException | None) -> None:
            if self._closed:
                thread.end()
            else:
                self._idle.append(thread)
            if future.done():
                return
            if error is not None:
                # A StopIteration cannot be set on a future; as a failure it reads the same.
                future.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
            else:
                future.set_result(value)

        thread.run(work, done, loop)
        return await future

    def close(self) -> None:
        """End the idle threads; busy ones are abandoned, and end when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()


class _HandlerThread:
    """A thread that runs one piece of work at a time."""

    def __init__(self) -> None:
        self._wake = threading.Semaphore(0)
        self._job: tuple[Callable[[], Any], Callable[..., Any], asyncio.AbstractEventLoop] | None = None
        threading.Thread(target=self._loop, name="tidewheel-handler", daemon=True).start()

    def run(self, work: Callable[[], Any], done: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> None:
        self._job = (work, done, loop)
        self._wake.release()

    def end(self) -> None:
        self._job = None
        self._wake.release()

    def _loop(self) -> None:
        while True:
            self._wake.acquire()
            if self._job is None:
                return
            (work, done, loop), self._job = self._job, None
            value, error = None, None
            try:
                value = work()
            except BaseException as raised:  # noqa: BLE001 -- handed to the runner
                error = raised
            try:
                loop.call_soon_threadsafe(done, value, error)
            except RuntimeError:
                return  # the worker is gone
            del work, done, loop, value, error
