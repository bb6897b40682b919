"""CPU-bound handlers in child processes that really can be ended.

A child imports the module of a function, runs it, and talks over a pipe: results, errors, progress and log
lines come out, the wish to wind up goes in. Children are started when needed, kept, and killed when an
attempt is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import pickle
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from tidewheel._context import JobContext
from tidewheel._engine.attempt import Attempt
from tidewheel._engine.batch_call import Answer, BatchCall
from tidewheel._engine.child import child_main
from tidewheel._engine.runner import RemoteError
from tidewheel._model.error_class import loaded_class
from tidewheel._model.job import ErrorInfo, Lease, LogLine

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from tidewheel._task import Task

_log: Final = logging.getLogger("tidewheel")


class ProcessDied(Exception):
    """A child process ended while it ran a handler (killed, out of memory, or a crash in native code)."""


class ProcessExecutor:
    """Plain handlers, each in a child process of its own while it runs."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._idle: deque[_Child] = deque()
        self._all: set[_Child] = set()
        self._closed = False

    async def call(self, attempt: Attempt) -> str:
        """See `Executor.call`."""
        answer: str = await self._run("run", attempt.task, [attempt])
        return answer

    async def call_batch(self, batch: BatchCall) -> list[Answer]:
        """See `Executor.call_batch`."""
        found = await self._run("batch", batch.task, batch.attempts)
        return [_answer(one) for one in found]

    async def _run(self, what: str, task: Task[..., Any], attempts: Sequence[Attempt]) -> Any:
        child = await self._child()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        talk = (what, task, attempts, future, loop)
        threading.Thread(target=child.talk, args=talk, name="tidewheel-child-talk", daemon=True).start()
        try:
            answer = await future
        except asyncio.CancelledError:
            self._drop(child)  # nothing else ends a computation for certain
            raise
        except ProcessDied:
            self._drop(child)
            raise
        except BaseException:
            self._idle.append(child)
            raise
        self._idle.append(child)
        return answer

    async def _child(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.alive():
                return child
            self._drop(child)
        spawning = asyncio.ensure_future(asyncio.to_thread(_Child))
        try:
            child = await asyncio.shield(spawning)
        except asyncio.CancelledError:
            spawning.add_done_callback(self._keep)  # it comes all the same
            raise
        self._all.add(child)
        return child

    def _keep(self, spawning: asyncio.Future[_Child]) -> None:
        if not spawning.cancelled() and spawning.exception() is None:
            child = spawning.result()
            if self._closed:
                child.kill()
            else:
                self._all.add(child)
                self._idle.append(child)

    def _drop(self, child: _Child) -> None:
        self._all.discard(child)
        child.kill()

    def close(self) -> None:
        """Kill the children; none of them runs a job any more, or its job was given up."""
        self._closed = True
        for child in tuple(self._all):
            self._drop(child)
        self._idle.clear()


class _Child:
    """A child process and this side of its pipe."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=child_main, args=(theirs,), name="tidewheel-child", daemon=True
        )
        self._process.start()
        theirs.close()
        self._send = threading.Lock()

    def alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        self._process.kill()
        # Reaping may take a moment; the loop must not wait for it.
        threading.Thread(target=self._process.join, daemon=True).start()

    def wind_up(self, lease: Lease, reason: str) -> None:
        """Pass on the wish to wind up; a child that has this job no more ignores it."""
        try:
            with self._send:
                self._pipe.send(("stop", tuple(lease), reason))
        except (OSError, ValueError):
            pass  # it is gone

    def talk(
        self,
        what: str,
        task: Task[..., Any],
        attempts: Sequence[Attempt],
        future: asyncio.Future[Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Runs in a thread: waits for what the child says until it has an answer or is gone."""
        pipe = self._pipe
        answer: Any = None
        try:
            with self._send:
                limits = (task.app.max_payload, task.app.max_traceback)
                rows = [_as_row(one.claimed) for one in attempts]
                pipe.send((what, task.fn.__module__, task.fn.__qualname__, rows, limits))
            # Not earlier: whoever says stop must not wait for a child that is slow to take a long message.
            for one in attempts:
                one.context.on_stop(partial(self._pass_on, one))
            contexts = {one.claimed.lease: one.context for one in attempts}
            while answer is None:
                answer = self._hear(pipe, contexts)
        except Exception:  # noqa: BLE001 -- mostly EOFError; whatever it is, nobody else answers this attempt
            self._process.join(1)
            answer = ProcessDied(
                f"The child process of {task.name} ended with exit code {self._process.exitcode} "
                "(a negative one is a signal; -9 is often the system running out of memory)."
            )
        with contextlib.suppress(RuntimeError):  # the worker is gone
            loop.call_soon_threadsafe(_resolve, future, answer)

    def _pass_on(self, attempt: Attempt) -> None:
        self.wind_up(attempt.claimed.lease, attempt.context.stop_reason)

    @staticmethod
    def _hear(pipe: Connection, contexts: Mapping[Lease, JobContext]) -> Any:
        match pipe.recv():
            case ("progress", lease, text):
                contexts[lease].add_progress(text)
            case ("log", lease, at, level, message):
                contexts[lease].add_line(LogLine(at, level, message))
            case ("done", result):
                return result
            case ("error", *_) as said:
                return _failure(said)
        return None


def _answer(found: tuple[Any, ...]) -> Answer:
    """One job's part of a batch."""
    return str(found[1]) if found[0] == "done" else _failure(found)


def _failure(said: tuple[Any, ...]) -> BaseException:
    """What a child says of an error."""
    _, type_name, message, stack, pickled = said
    return _rebuilt(ErrorInfo(type_name, message, stack), pickled)


def _as_row(claimed: Any) -> tuple[Any, ...]:
    return tuple(getattr(claimed, name) for name in claimed.__struct_fields__)


def _resolve(future: asyncio.Future[str], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, StopIteration):  # no future takes one
        failure = RuntimeError(repr(answer))
        failure.__cause__ = answer.__cause__
        future.set_exception(failure)
    elif isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _rebuilt(info: ErrorInfo, pickled: bytes | None) -> BaseException:
    """The child's exception, so that retry rules see its class."""
    error: BaseException | None = None
    if pickled is not None:
        try:
            error = pickle.loads(pickled)  # noqa: S301 -- written by our own child process
        except Exception as broken:  # noqa: BLE001 -- a class that does not unpickle
            _log.debug("An error of a child process could not be rebuilt: %r", broken)
    if not isinstance(error, Exception):
        error = _stand_in(info)
    error.__cause__ = RemoteError(info)
    return error


def _stand_in(info: ErrorInfo) -> Exception:
    """An exception for which retry rules hold as for the child's.

    Many classes pickle and do not come back: all whose `__init__` takes several arguments.
    """
    cls = loaded_class(info.type)
    if isinstance(cls, type) and issubclass(cls, Exception):
        try:
            return cls.__new__(cls, info.message)
        except Exception as broken:  # noqa: BLE001 -- a __new__ of its own
            _log.debug("No %s could be made: %r", info.type, broken)
    module, _, name = info.type.rpartition(".")
    named: type[Exception] = type(name, (Exception,), {"__module__": module or "builtins"})
    return named(info.message)
