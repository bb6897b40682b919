"""The SQLite store: every operation is a function handed to the writer or the reader thread."""

from __future__ import annotations

import asyncio
import builtins
import os
import sqlite3
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tidewheel._env import Env
from tidewheel._model.graph import Edge
from tidewheel._model.job import Claimed, History, Job, NewJob
from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow
from tidewheel._model.outcome import Settlement
from tidewheel._model.query import Accepted, Action, Altered, Enqueued, JobFilter, Page, StoreInfo, SweepReport
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.retention import RetentionRule
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo, WorkerRow
from tidewheel._store.base import Heard, check_batch
from tidewheel._store.hints import Hints, Listener
from tidewheel._store.sqlite import admin, graphs, joined, schema, upkeep, work
from tidewheel._store.sqlite import enqueue as desk
from tidewheel._store.sqlite import limits as limits_of
from tidewheel._store.sqlite.bells import Bell, Ringer, pipes_work
from tidewheel._store.sqlite.connect import connect, hold, let_go, patiently, translated
from tidewheel._store.sqlite.options import SqliteOptions
from tidewheel._store.sqlite.writer import Reader, Transaction, Writer

_DURABILITY: Final = {
    "normal": "A crash of any process loses nothing; a power failure may undo the last moments (durability=full waits "
    "for the disk).",
    "full": "Neither a crash nor a power failure loses what was answered.",
}


class SqliteStore:
    """A store in one SQLite file (`sqlite:///jobs.db`, or a path). See `Store` for what each operation promises."""

    def __init__(self, url: str, env: Env | None = None) -> None:
        self.options = SqliteOptions.parse(url)
        self._env = env or Env()
        self._hints = Hints()
        folder = self.options.path.with_name(self.options.path.name + "-bells")
        self._bells = folder
        self._ringer = Ringer(folder) if pipes_work() else None
        self._writer = Writer(self.options, "tidewheel-sqlite-writer", self._ring)
        self._reader = Reader(self.options, "tidewheel-sqlite-reader")
        self._habit = work.Habit()
        self._opened_by: int | None = None

    # -- lifecycle

    async def open(self) -> None:
        """See `LifecycleStore.open`."""
        if self._opened_by is not None:
            return
        hold(self.options.path)
        try:
            # Waiting for another process' lock must not stop the event loop.
            connection = await asyncio.to_thread(self._prepared)
        except BaseException:
            let_go(self.options.path)
            raise
        self._writer.start(connection)
        self._opened_by = os.getpid()

    def _prepared(self) -> sqlite3.Connection:
        """A connection to a file with the newest schema; the reader is started beside it."""
        connection = connect(self.options)
        try:
            version = patiently(self.options, lambda: schema.current(connection, self.options))
            if version < schema.newest():
                schema.check_automatic(version, self.options)
                self._writer.begin(connection)
                schema.upgrade(connection, self.options, self._env.clock())
                connection.execute("COMMIT")
            self._reader.open()
        except sqlite3.Error as error:
            connection.close()
            raise translated(error, self.options) from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def close(self) -> None:
        """See `LifecycleStore.close`."""
        if self._opened_by is not None:
            self._opened_by = None
            await self._writer.stop()
            await self._reader.stop()
            if self._ringer is not None:
                self._ringer.close()
            let_go(self.options.path)

    async def migrate(self) -> tuple[int, int]:
        """See `LifecycleStore.migrate`."""
        now = self._env.clock()
        if self._opened_by is not None:
            return await self._writer.call(lambda tx: schema.upgrade(tx.connection, self.options, now))
        connection = connect(self.options)
        try:
            self._writer.begin(connection)
            versions = schema.upgrade(connection, self.options, now)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise translated(error, self.options) from error
        finally:
            connection.close()
        return versions

    async def info(self) -> StoreInfo:
        """See `LifecycleStore.info`."""
        version = await self._reader.call(lambda tx: schema.current(tx.connection, self.options))
        return StoreInfo(
            name="sqlite",
            version=sqlite3.sqlite_version,
            schema=version,
            now=self._env.clock(),
            tx=True,
            listen=self._ringer is not None,
            durability=_DURABILITY[self.options.durability],
        )

    def sibling(self) -> SqliteStore:
        """See `LifecycleStore.sibling`: the threads inside serve any number of event loops."""
        return self

    # -- the hot path

    async def enqueue(self, jobs: Sequence[NewJob], *, now: int | None = None) -> list[Enqueued]:
        """See `WorkStore.enqueue`."""
        check_batch(len(jobs))
        return await self._writer.call(lambda tx: desk.enqueue(tx, jobs, self._env.ids, self._now(now))) if jobs else []

    async def enqueue_in(
        self, connection: object, jobs: Sequence[NewJob], *, now: int | None = None
    ) -> builtins.list[Enqueued]:
        """See `JoiningStore.enqueue_in`."""
        check_batch(len(jobs))
        return await joined.enqueue(self.options, connection, jobs, self._env.ids, self._now(now))

    async def claim(
        self,
        wants: Sequence[Want],
        *,
        kinds: Sequence[str],
        worker: str,
        lease: int,
        last_life: bool = True,
        now: int | None = None,
    ) -> list[Claimed]:
        """See `WorkStore.claim`."""

        def run(tx: Transaction) -> list[Claimed]:
            return work.claim(
                tx,
                wants,
                kinds=kinds,
                worker=worker,
                lease=lease,
                last_life=last_life,
                habit=self._habit,
                new_id=self._env.ids,
                now=self._now(now),
            )

        return await self._writer.call(run)

    async def beat(
        self, info: WorkerInfo, beats: Sequence[LeaseBeat], *, lease: int, now: int | None = None
    ) -> list[BeatAnswer]:
        """See `WorkStore.beat`."""
        check_batch(len(beats))
        return await self._writer.call(lambda tx: work.beat(tx, info, beats, lease, self._now(now)))

    async def settle(self, settlements: Sequence[Settlement], *, now: int | None = None) -> list[Accepted]:
        """See `WorkStore.settle`."""
        check_batch(len(settlements))
        if not settlements:
            return []
        return await self._writer.call(
            lambda tx: work.settle(tx, settlements, self._env.ids, self._habit, self._now(now))
        )

    # -- upkeep

    async def sweep(
        self,
        *,
        limit: int = 1000,
        retention: Sequence[RetentionRule] = (),
        worker_gone_after: int = 90_000_000,
        now: int | None = None,
    ) -> SweepReport:
        """See `UpkeepStore.sweep`."""

        def run(tx: Transaction) -> SweepReport:
            return upkeep.sweep(
                tx,
                limit=limit,
                retention=retention,
                gone_after=worker_gone_after,
                new_id=self._env.ids,
                now=self._now(now),
            )

        return await self._writer.call(run)

    @asynccontextmanager
    async def wakeups(self, interest: frozenset[Wakeup] = frozenset(Wakeup)) -> AsyncIterator[Heard]:
        """See `UpkeepStore.wakeups`."""
        async with self._hints.listen(interest) as listener:
            bell = self._bell(listener)
            try:
                yield listener
            finally:
                if bell is not None:
                    bell.close()

    # -- administration

    async def get(self, ids: Sequence[str]) -> list[Job | None]:
        """See `AdminStore.get`."""
        check_batch(len(ids))
        return await self._reader.call(lambda tx: admin.get(tx.connection, ids))

    async def list(self, where: JobFilter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See `AdminStore.list`."""
        return await self._reader.call(lambda tx: admin.list_jobs(tx.connection, where, limit, cursor))

    async def history(self, job_id: str) -> History | None:
        """See `AdminStore.history`."""
        return await self._reader.call(lambda tx: admin.history(tx.connection, job_id))

    async def alter(
        self, ids: Sequence[str] | JobFilter, action: Action, *, limit: int = 1000, now: int | None = None
    ) -> builtins.list[Altered]:
        """See `AdminStore.alter`."""
        if not isinstance(ids, JobFilter):
            check_batch(len(ids))
        return await self._writer.call(
            lambda tx: admin.alter(tx, ids, action, limit=limit, new_id=self._env.ids, now=self._now(now))
        )

    async def put_queues(self, settings: Sequence[QueueSettings]) -> builtins.list[QueueSettings]:
        """See `AdminStore.put_queues`."""
        return await self._writer.call(lambda tx: admin.put_queues(tx, settings))

    async def queues(self) -> builtins.list[QueueStats]:
        """See `AdminStore.queues`."""
        return await self._reader.call(lambda tx: admin.queues(tx.connection))

    async def workers(self) -> builtins.list[WorkerRow]:
        """See `AdminStore.workers`."""
        return await self._reader.call(lambda tx: admin.workers(tx.connection))

    # -- limits

    async def put_limits(
        self, rows: Sequence[LimitRow], *, declared: bool, now: int | None = None
    ) -> builtins.list[LimitRow]:
        """See `LimitStore.put_limits`."""
        check_batch(len(rows))
        return await self._writer.call(lambda tx: limits_of.put_limits(tx, rows, declared=declared, now=self._now(now)))

    async def limits(self) -> builtins.list[LimitRow]:
        """See `LimitStore.limits`."""
        return await self._reader.call(lambda tx: limits_of.limits(tx.connection))

    async def gates(
        self, *, limits: Sequence[str] = (), keys: Sequence[str] = (), limit: int = 100, now: int | None = None
    ) -> builtins.list[GateRow]:
        """See `LimitStore.gates`."""
        at = self._now(now)
        return await self._reader.call(lambda tx: limits_of.gates(tx.connection, limits, keys, limit, at))

    async def hit(self, hits: Sequence[Hit], *, now: int | None = None) -> builtins.list[Allowance]:
        """See `LimitStore.hit`."""
        check_batch(len(hits))
        return await self._writer.call(lambda tx: limits_of.hit(tx, hits, self._now(now)))

    # -- graphs

    async def edges(self, ids: Sequence[str]) -> builtins.list[Edge]:
        """See `GraphStore.edges`."""
        check_batch(len(ids))
        return await self._reader.call(lambda tx: graphs.edges(tx.connection, ids))

    # -- inside

    def _now(self, now: int | None) -> int:
        return self._env.clock() if now is None else now

    def _bell(self, listener: Listener) -> Bell | None:
        """Let other processes wake this listener. On a disk without named pipes polling must do."""
        if self._ringer is None:
            return None
        try:
            bell = Bell(self._bells, f"{os.getpid()}-{uuid.uuid4().hex[:8]}", listener)
        except OSError:
            return None
        self._ringer.disown(bell.name)
        return bell

    def _ring(self, kinds: frozenset[Wakeup]) -> None:
        """Runs in the writer thread, after a commit."""
        self._hints.ring(kinds)
        if self._ringer is not None:
            self._ringer.ring(kinds)
