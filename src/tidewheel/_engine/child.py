"""The other side of the pipe: what a child process does. See `processes.py`."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

from tidewheel._batch import BatchCodec
from tidewheel._batch_task import BatchTask
from tidewheel._context import JobContext, current
from tidewheel._engine.batch_call import answers, argument
from tidewheel._engine.runner import describe
from tidewheel._env import wall_clock
from tidewheel._model.job import Claimed, Lease, LogLine
from tidewheel._serde import Codec
from tidewheel._task import Task


def child_main(pipe: Connection) -> None:
    """Run what the parent sends until the pipe ends, and this process with it."""
    with suppress(ValueError, OSError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which ends us
    channel = _Channel(pipe)
    while True:
        what, *fn, rows, limits = channel.next_run()
        _run(channel, _HOW[what], fn, [Claimed(*row) for row in rows], limits)


class _Channel:
    """The pipe: a thread reads it, so that the wish to wind up is heard while a handler computes."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._send = threading.Lock()
        self._arrived = threading.Semaphore(0)
        self._request: Any = None
        self._lock = threading.Lock()
        self._stops: dict[Lease, str] = {}
        """Who is to wind up, and why: of this run, or of the next one, which may have been sent already."""
        self._contexts: dict[Lease, JobContext] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                # The worker is gone. Its job will run elsewhere, so what is computed here must end now.
                os._exit(1)
            if message[0] == "stop":
                self._stop(Lease(*message[1]), message[2])
            else:
                self._request = message
                self._arrived.release()

    def next_run(self) -> Any:
        self._arrived.acquire()
        return self._request

    def attend(self, contexts: Sequence[JobContext]) -> None:
        """Who is told to wind up from now on, also when that was said before."""
        with self._lock:
            self._contexts = {Lease(one.id, one.epoch): one for one in contexts}
            self._stops = {lease: reason for lease, reason in self._stops.items() if lease in self._contexts}
            said = [(self._contexts[lease], reason) for lease, reason in self._stops.items()]
        for context, reason in said:
            context.stop(reason)

    def rest(self) -> None:
        """Nobody runs. What is said now may be for the next run."""
        with self._lock:
            self._contexts = {}

    def _stop(self, lease: Lease, reason: str) -> None:
        with self._lock:
            self._stops[lease] = reason
            context = self._contexts.get(lease)
        if context is not None:  # by its lease: a wish that comes too late must not hit the next job
            context.stop(reason)

    def say(self, *message: Any) -> None:
        with self._send:
            self._pipe.send(message)


class _ChildContext(JobContext):
    """Sends news to the parent at once; the parent has the lease and writes them."""

    def __init__(self, claimed: Claimed, say: Callable[..., None]) -> None:
        super().__init__(claimed, wall_clock, self._tell)
        self._lease = tuple(claimed.lease)
        self._say = say

    def _pass_on(self, line: LogLine) -> None:
        """The parent's logging is set up, this process's may not be."""

    def _tell(self) -> None:
        progress, lines = self.take_news()
        if progress is not None:
            self._say("progress", self._lease, progress)
        for line in lines:
            self._say("log", self._lease, line.at, line.level, line.message)


def _run(
    channel: _Channel,
    call: Callable[[Any, str, Sequence[Claimed], Sequence[JobContext], tuple[int, int]], Any],
    fn: Sequence[str],
    claimed: Sequence[Claimed],
    limits: tuple[int, int],
) -> None:
    contexts = [_ChildContext(one, channel.say) for one in claimed]
    channel.attend(contexts)
    try:
        loaded = _load(*fn)
        for context in contexts:
            context.app = loaded.app if isinstance(loaded, Task) else None
        answer = call(loaded, claimed[0].kind, claimed, contexts, limits)
        _flush()
        channel.say("done", answer)
    except BaseException as error:  # noqa: BLE001 -- the parent's runner judges it
        failed = _failed(error, limits)
        _flush()
        channel.say(*failed)
    finally:
        channel.rest()


def _call(
    fn: Any, kind: str, claimed: Sequence[Claimed], contexts: Sequence[JobContext], limits: tuple[int, int]
) -> str:
    """Run one job."""
    token = current.set(contexts[0])
    try:
        codec = fn.codec if isinstance(fn, Task) else Codec(kind, fn, limits[0])
        args, kwargs = codec.decode_call(claimed[0].args)
        return codec.encode_result((fn.fn if isinstance(fn, Task) else fn)(*args, **kwargs))
    finally:
        current.reset(token)


def _call_batch(
    fn: Any, kind: str, claimed: Sequence[Claimed], contexts: Sequence[JobContext], limits: tuple[int, int]
) -> list[tuple[Any, ...]]:
    """Run the jobs of a batch: an answer for each."""
    codec = fn.codec if isinstance(fn, BatchTask) else BatchCodec(kind, fn, None, limits[0])
    items = [(codec.decode_call(one.args)[0][0], context) for one, context in zip(claimed, contexts, strict=True)]
    found = (fn.fn if isinstance(fn, BatchTask) else fn)(argument(codec, items))
    return [
        ("done", one) if isinstance(one, str) else _failed(one, limits)
        for one in answers(codec, kind, found, len(claimed))
    ]


_HOW: Final = {"run": _call, "batch": _call_batch}


def _failed(error: BaseException, limits: tuple[int, int]) -> tuple[Any, ...]:
    info = describe(error, limits[1])
    return ("error", info.type, info.message, info.traceback, _pickled(error))


def _flush() -> None:
    """Children are killed in the end, with what is in their buffers."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _load(module: str, qualname: str) -> Any:
    found: Any = importlib.import_module(module) if module != "__main__" else sys.modules["__main__"]
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def _pickled(error: BaseException) -> bytes | None:
    try:
        return pickle.dumps(error)
    except Exception:  # noqa: BLE001 -- a class that does not pickle travels by name
        return None
