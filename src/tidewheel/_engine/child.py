"""The other side of the pipe: what a child process does. See `processes.py`."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from tidewheel._context import JobContext, current
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
        module, qualname, row, limits = channel.next_run()
        _run(channel, module, qualname, Claimed(*row), limits)


class _Channel:
    """The pipe: a thread reads it, so that the wish to wind up is heard while a handler computes."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._send = threading.Lock()
        self._arrived = threading.Semaphore(0)
        self._request: Any = None
        self._stop: tuple[Lease, str] | None = None
        self._context: JobContext | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                # The worker is gone. Its job will run elsewhere, so what is computed here must end now.
                os._exit(1)
            if message[0] == "run":
                self._request = message[1:]
                self._arrived.release()
            else:
                self._stop = (Lease(*message[1]), message[2])
                self._pass_stop_on()

    def next_run(self) -> Any:
        self._arrived.acquire()
        return self._request

    def attend(self, context: JobContext | None) -> None:
        """Who is told to wind up from now on, also when that was said before."""
        self._context = context
        self._pass_stop_on()

    def _pass_stop_on(self) -> None:
        context, stop = self._context, self._stop
        # By its lease: a wish that comes too late must not hit the next job.
        if context is not None and stop is not None and stop[0] == (context.id, context.epoch):
            context.stop(stop[1])

    def say(self, *message: Any) -> None:
        with self._send:
            self._pipe.send(message)


class _ChildContext(JobContext):
    """Sends news to the parent at once; the parent has the lease and writes them."""

    def __init__(self, claimed: Claimed, say: Callable[..., None]) -> None:
        super().__init__(claimed, wall_clock, self._tell)
        self._say = say

    def _pass_on(self, line: LogLine) -> None:
        """The parent's logging is set up, this process's may not be."""

    def _tell(self) -> None:
        progress, lines = self.take_news()
        if progress is not None:
            self._say("progress", progress)
        for line in lines:
            self._say("log", line.at, line.level, line.message)


def _run(channel: _Channel, module: str, qualname: str, claimed: Claimed, limits: tuple[int, int]) -> None:
    max_payload, max_traceback = limits
    context = _ChildContext(claimed, channel.say)
    channel.attend(context)
    token = current.set(context)
    try:
        fn = _load(module, qualname)
        codec = fn.codec if isinstance(fn, Task) else Codec(claimed.kind, fn, max_payload)
        args, kwargs = codec.decode_call(claimed.args)
        result = (fn.fn if isinstance(fn, Task) else fn)(*args, **kwargs)
        answer = codec.encode_result(result)
        _flush()
        channel.say("done", answer)
    except BaseException as error:  # noqa: BLE001 -- the parent's runner judges it
        info = describe(error, max_traceback)
        _flush()
        channel.say("error", info.type, info.message, info.traceback, _pickled(error))
    finally:
        channel.attend(None)
        current.reset(token)


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
