"""One thread writes. It takes all operations that wait, up to a limit, into one transaction (group commit).

1. take the first operation that comes, and whatever else waits
2. BEGIN IMMEDIATE; when another process holds the lock try again with jitter, up to `busy_timeout`
3. run the operations; if one raises, roll back and run each in a transaction of its own,
   so that one failure is only its own (operations only touch the database, so they can be run again)
4. COMMIT, pass on the hints, answer all callers of one event loop with one call
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from tidewheel._model.errors import StoreError, StoreUnavailable
from tidewheel._model.worker import Wakeup
from tidewheel._store.sqlite.connect import SameFile, connect, patiently, translated
from tidewheel._store.sqlite.options import SqliteOptions

T = TypeVar("T")
_GROUP: Final = 256
_WAITING: Final = 10_000
_STALL: Final = 0.1


class Stall(NamedTuple):
    """The last time that somebody else's lock kept us from writing: how long, and how long ago; in seconds."""

    length: float = 0.0
    ago: float = math.inf


class Transaction:
    """What an operation gets: the connection, and a place for hints that go out after the commit."""

    __slots__ = ("connection", "hints", "stall")

    def __init__(self, connection: sqlite3.Connection, stall: Stall | None = None) -> None:
        self.connection = connection
        self.stall = stall or Stall()
        self.hints: set[Wakeup] = set()


class _Call(Generic[T]):
    """One operation, the loop that waits for it, and its answer."""

    __slots__ = ("error", "future", "loop", "value", "work")

    def __init__(self, work: Callable[[Transaction], T], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()
        self.value: Any = None
        self.error: BaseException | None = None

    def answer(self) -> None:
        if self.future.done():
            return  # its caller was cancelled; the work may be done all the same
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)


class DatabaseThread:
    """A connection and the thread that owns it. `Writer` and `Reader` differ in what they do with a group."""

    def __init__(self, options: SqliteOptions, name: str) -> None:
        self.options = options
        self._name = name
        self._calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None

    def start(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._thread = threading.Thread(target=self._run, args=(connection,), name=self._name, daemon=True)
        self._thread.start()

    async def call(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in the thread and wait for its answer."""
        if self._thread is None:
            raise StoreError(f"The store {self.options.path} is closed. Open it first: `async with app:`.")
        if self._calls.qsize() >= _WAITING:
            raise StoreUnavailable(
                f"{_WAITING} operations wait for {self.options.path} already. The disk is slower than the callers; "
                "enqueue in batches (`enqueue_many`) or wait for answers before sending more."
            )
        call = _Call(work, asyncio.get_running_loop())
        self._calls.put(call)
        return await call.future

    async def stop(self) -> None:
        """Finish what was handed over, then close the connection."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._calls.put(None)
            await asyncio.to_thread(thread.join)

    def _run(self, connection: sqlite3.Connection) -> None:
        stopping = False
        file = SameFile(self.options.path)
        while not stopping:
            group: list[_Call[Any]] = []
            call = self._calls.get()
            while True:
                if call is None:
                    stopping = True
                else:
                    group.append(call)
                if len(group) >= _GROUP:
                    break
                try:
                    call = self._calls.get_nowait()
                except queue.Empty:
                    break
            if group:
                try:
                    file.check()
                    self._handle(connection, group)
                except Exception as error:  # noqa: BLE001 -- whatever it is: nobody may wait for ever
                    for one in group:
                        one.error = one.error or error
                _answer(group)
        connection.close()

    def _handle(self, connection: sqlite3.Connection, group: list[_Call[Any]]) -> None:
        raise NotImplementedError

    def _failure(self, error: BaseException) -> BaseException:
        return translated(error, self.options) if isinstance(error, sqlite3.Error) else error


class Reader(DatabaseThread):
    """Answers questions from a connection that cannot write, beside the writer."""

    def open(self) -> None:
        self.start(connect(self.options, reader=True))

    def _handle(self, connection: sqlite3.Connection, group: list[_Call[Any]]) -> None:
        for call in group:
            try:
                call.value = call.work(Transaction(connection))
            except Exception as error:  # noqa: BLE001 -- it is the caller's
                call.error = self._failure(error)


class Writer(DatabaseThread):
    """The only connection of this process that writes."""

    def __init__(self, options: SqliteOptions, name: str, ring: Callable[[frozenset[Wakeup]], None]) -> None:
        super().__init__(options, name)
        self._ring = ring
        self._trying: float | None = None
        """Since when we try to begin a transaction, also when we were told in between that it takes too long."""
        self._waited = 0.0
        self._since = -math.inf

    def _handle(self, connection: sqlite3.Connection, group: list[_Call[Any]]) -> None:
        try:
            self.begin(connection)
        except Exception as error:  # noqa: BLE001 -- it is everybody's: no use to have each wait for the lock again
            for call in group:
                call.error = self._failure(error)
            return
        try:
            hints = self._commit(connection, group)
        except Exception as error:  # noqa: BLE001 -- sorted out one by one
            if len(group) == 1:
                group[0].error = self._failure(error)
                return
            hints = frozenset()
            for call in group:
                try:
                    self.begin(connection)
                    hints |= self._commit(connection, [call])
                except Exception as single:  # noqa: BLE001 -- it is that caller's
                    call.error = self._failure(single)
        if hints:
            self._ring(hints)

    def _commit(self, connection: sqlite3.Connection, group: list[_Call[Any]]) -> frozenset[Wakeup]:
        """Run the calls in the transaction that was begun, and end it."""
        transaction = Transaction(connection, Stall(self._waited, time.monotonic() - self._since))
        try:
            for call in group:
                call.value = call.work(transaction)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return frozenset(transaction.hints)

    def begin(self, connection: sqlite3.Connection) -> None:
        """BEGIN IMMEDIATE, waiting for other processes with jitter up to `busy_timeout`."""
        if self._trying is None:
            self._trying = time.monotonic()
        patiently(self.options, lambda: connection.execute("BEGIN IMMEDIATE"))
        now = time.monotonic()
        waited, self._trying = now - self._trying, None
        if waited > _STALL:
            self._waited, self._since = waited, now


def _answer(group: list[_Call[Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Call[Any]]] = {}
    for call in group:
        by_loop.setdefault(call.loop, []).append(call)
    for loop, calls in by_loop.items():
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_answer_all, calls)


def _answer_all(calls: list[_Call[Any]]) -> None:
    for call in calls:
        call.answer()
