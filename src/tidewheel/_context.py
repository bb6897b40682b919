"""What a handler may ask of the job it runs for: `current_job()`."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tidewheel._graphs import Child, children_of
from tidewheel._model.errors import Cancel, LeaseLost
from tidewheel._model.job import Claimed, LogLine
from tidewheel._serde import encode, storable

if TYPE_CHECKING:
    from tidewheel._app import App

_BUFFER: Final = 1000
_MESSAGE: Final = 8192
SOFT_TIMEOUT: Final = "soft timeout"
_tags: Final = msgspec.json.Decoder(list[str])

current: ContextVar[JobContext] = ContextVar("tidewheel_job")


class Stopped(Cancel):
    """What `check()` raises. Only for "cancel" it ends the job as cancelled: see the runner."""


def current_job() -> JobContext:
    """The job whose handler is running here: async, in a thread or in a process.

    Raises:
        RuntimeError: called outside a handler.
    """
    try:
        return current.get()
    except LookupError:
        raise RuntimeError(
            "current_job() was called outside a handler. It works inside functions that a worker runs; one that handles "
            "a batch takes list[BatchItem[...]] and finds its jobs there."
        ) from None


class JobLog:
    """Log lines kept with the job (and passed on to the logger `tidewheel.job`)."""

    def __init__(self, write: Callable[[str, str], None]) -> None:
        self._write = write

    def debug(self, message: object, *args: object) -> None:
        """Log a detail."""
        self._write("debug", _text(message, args))

    def info(self, message: object, *args: object) -> None:
        """Log what happens."""
        self._write("info", _text(message, args))

    def warning(self, message: object, *args: object) -> None:
        """Log what may be wrong."""
        self._write("warning", _text(message, args))

    def error(self, message: object, *args: object) -> None:
        """Log what is wrong."""
        self._write("error", _text(message, args))


def _text(message: object, args: tuple[object, ...]) -> str:
    """As `logging` has it: any object may be a message, and arguments that do not fit are no reason to fail a job."""
    try:
        return storable(str(message) % args if args else str(message))
    except Exception as error:  # noqa: BLE001 -- a user's __str__, or a placeholder without its argument
        return f"<a log line that could not be made: {type(error).__name__}>"


class JobContext:
    """One attempt, as its handler sees it. All members may be used from any thread."""

    # One is made for every attempt, most of them are never looked at: what is seldom used is made when needed.
    __slots__ = (
        "_changed", "_claimed", "_clock", "_event", "_lines", "_on_return", "_on_stop", "_progress", "_stopped",
        "app", "borrowed", "lost", "stop_reason",
    )  # fmt: skip
    _lock = threading.Lock()  # one for all: it is held for moments only

    def __init__(self, claimed: Claimed, clock: Callable[[], int], changed: Callable[[], None]) -> None:
        self._claimed = claimed
        self._clock = clock
        self._changed = changed
        self._lines: deque[LogLine] | None = None
        self._progress: str | None = None
        self._stopped = False
        self._event: threading.Event | None = None
        self._on_stop: tuple[Callable[[], None], ...] = ()
        self._on_return: Callable[[], None] | None = None
        self.app: App | None = None
        """The app of its task, where that is known."""
        self.borrowed = False
        """True while a beat is writing news: an outcome that overtook it would have them refused."""
        self.stop_reason = ""
        """Why the handler should wind up: "cancel", "soft timeout", "timeout", "lease lost" or "shutdown"; else empty."""
        self.lost = False
        """True when the job was taken away: nothing this attempt writes counts."""

    @property
    def log(self) -> JobLog:
        """`.debug/.info/.warning/.error(message, *args)`: lines kept with the job, the newest 1000."""
        return JobLog(self._add_line)

    @property
    def id(self) -> str:
        """The job's id."""
        return self._claimed.id

    @property
    def kind(self) -> str:
        """Name of its task."""
        return self._claimed.kind

    @property
    def queue(self) -> str:
        """Its queue."""
        return self._claimed.queue

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        return self._claimed.attempt

    @property
    def max_attempts(self) -> int:
        """How many tries there are."""
        return self._claimed.max_attempts

    @property
    def epoch(self) -> int:
        """The fence: grows with every claim and never falls."""
        return self._claimed.epoch

    @property
    def fence(self) -> str:
        """`"<id>:<epoch>"`: hand it to outside systems that can refuse an older holder's writes."""
        return f"{self._claimed.id}:{self._claimed.epoch}"

    @property
    def enqueued_at(self) -> int:
        """When the job was enqueued, in microseconds since 1970."""
        return self._claimed.enqueued_at

    @property
    def tags(self) -> tuple[str, ...]:
        """The job's tags."""
        return tuple(_tags.decode(self._claimed.tags)) if self._claimed.tags else ()

    @property
    def meta(self) -> Any:
        """The object given as `meta` when it was enqueued, or None."""
        return msgspec.json.decode(self._claimed.meta) if self._claimed.meta else None

    async def children(self) -> tuple[Child, ...]:
        """The jobs that this one waited for, with their results, in the order in which they were named. In a plain
        function: `app.run_sync(current_job().children())`.

        Raises:
            RuntimeError: in a child process, for a function under another name than its task's.
            StoreUnavailable, StoreError: the database did not answer.
        """
        if self.app is None:
            raise RuntimeError(
                f"The app of {self.kind} is not known in this process, so nobody can be asked. Ask an app that is: "
                f"app.run_sync(app.jobs.children('{self.id}'))."
            )
        return await children_of(await self.app.opened(), self.id)

    @property
    def cancelled(self) -> bool:
        """True when the handler should wind up soon; see `stop_reason`."""
        return self._stopped

    def check(self) -> None:
        """Leave the handler here if it should wind up.

        When it leaves the handler, the job is cancelled if somebody cancelled it, tried again by its retry policy
        after a soft timeout, and handed back, no attempt burned, when the worker stops.

        Raises:
            LeaseLost: the job was taken away; nothing this attempt writes counts.
            Cancel: somebody cancelled the job, or it should stop for another reason.
        """
        if self.lost:
            raise LeaseLost
        if self._stopped:
            raise Stopped(self.stop_reason)

    def wait_stopped(self, timeout: float | None = None) -> bool:
        """Sleep up to `timeout` seconds, or until the handler should wind up: True if it should.
        For plain functions, in place of `time.sleep`.
        """
        with self._lock:
            event = self._event = self._event or threading.Event()
        return self._stopped or event.wait(timeout)

    async def wait_cancelled(self) -> str:
        """Wait until the handler should wind up; gives the `stop_reason`. For async functions."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(told.set)

        self.on_stop(tell)
        try:
            await told.wait()
        finally:
            with self._lock:
                self._on_stop = tuple(call for call in self._on_stop if call is not tell)
        return self.stop_reason

    def progress(self, value: Any) -> None:
        """Report progress: a number or an object. Written in the background, the latest value wins.

        Raises:
            LeaseLost: the job was taken away.
            EncodeError: the value cannot be written as JSON.
        """
        if self.lost:
            raise LeaseLost
        self.add_progress(encode(value, what=f"The progress of {self.kind}"))

    def _add_line(self, level: str, message: str) -> None:
        if self.lost:
            raise LeaseLost
        self.add_line(LogLine(self._clock(), level, message[:_MESSAGE]))

    def _pass_on(self, line: LogLine) -> None:
        number = logging.getLevelNamesMapping().get(line.level.upper(), logging.INFO)
        logging.getLogger("tidewheel.job").log(number, "%s %s: %s", self.kind, self.id, line.message)

    def _keep(self, line: LogLine) -> None:
        with self._lock:
            if self._lines is None:
                self._lines = deque(maxlen=_BUFFER)
            self._lines.append(line)

    def add_line(self, line: LogLine) -> None:
        """Keep a line, as a child process logs it."""
        self._keep(line)
        self._pass_on(line)
        self._changed()

    def add_progress(self, text: str) -> None:
        """Keep progress that is JSON already, as a child process reports it."""
        with self._lock:  # or `take_news` in another thread could clear what it did not take
            self._progress = text
        self._changed()

    def on_stop(self, call: Callable[[], None]) -> None:
        """Have `call` made, from any thread, when the handler should wind up."""
        with self._lock:
            self._on_stop = (*self._on_stop, call)
            late = self._stopped
        if late:
            call()

    def stop(self, reason: str) -> None:
        """Ask the handler to wind up. The first reason stays, but for a soft timeout: any other is more urgent."""
        with self._lock:
            if self._stopped and (self.stop_reason != SOFT_TIMEOUT or reason == SOFT_TIMEOUT):
                return
            self.stop_reason = reason
            self._stopped = True
            event, calls = self._event, self._on_stop
        if event is not None:
            event.set()
        for call in calls:
            call()

    def take_news(self) -> tuple[str | None, tuple[LogLine, ...]]:
        """Progress and lines that nobody has written yet; they are yours now."""
        if self._progress is None and self._lines is None:
            return None, ()
        with self._lock:
            progress, self._progress = self._progress, None
            lines, self._lines = tuple(self._lines or ()), None
        return progress, lines

    def borrow_news(self) -> tuple[str | None, tuple[LogLine, ...]]:
        """As `take_news`, for a beat, which says `return_news` when they are written, or given back."""
        self.borrowed = True  # before the take: who finds nothing there afterwards then sees why
        news = self.take_news()
        if news == (None, ()):
            self.return_news()
        return news

    def return_news(self) -> None:
        """What `borrow_news` gave is dealt with."""
        with self._lock:
            self.borrowed = False
            call, self._on_return = self._on_return, None
        if call is not None:
            call()

    def when_returned(self, call: Callable[[], None]) -> None:
        """Have `call` made, from any thread, when no news are borrowed."""
        with self._lock:
            if self.borrowed:
                self._on_return = call
                return
        call()

    def give_back(self, progress: str | None, lines: tuple[LogLine, ...]) -> None:
        """What `take_news` gave could not be written: keep it for the next time."""
        if progress is None and not lines:
            return
        with self._lock:
            self._progress = progress if self._progress is None else self._progress
            self._lines = deque([*lines, *(self._lines or ())], maxlen=_BUFFER)
