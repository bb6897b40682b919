"""The PostgreSQL store: every operation is a function of a connection, run by the session of the event loop."""

from __future__ import annotations

import asyncio
import builtins
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from tidewheel._env import Env
from tidewheel._model.errors import StoreError
from tidewheel._model.graph import Edge
from tidewheel._model.job import Claimed, History, Job, NewJob
from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow
from tidewheel._model.outcome import Settlement
from tidewheel._model.query import Accepted, Action, Altered, Enqueued, JobFilter, Page, StoreInfo, SweepReport
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.retention import RetentionRule
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo, WorkerRow
from tidewheel._store.base import Heard, check_batch, check_gates
from tidewheel._store.hints import Hints
from tidewheel._store.postgres import admin, graphs, limits, schema, upkeep, work
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.connect import ERRORS, check_server, connect, translated
from tidewheel._store.postgres.desk import Refused
from tidewheel._store.postgres.early import learn
from tidewheel._store.postgres.joined import Joined
from tidewheel._store.postgres.limits import list_gates
from tidewheel._store.postgres.options import PostgresOptions
from tidewheel._store.postgres.session import Session
from tidewheel._store.postgres.sql import CLOCK

T = TypeVar("T")


class PostgresStore:
    """A store in one schema of a PostgreSQL database (`postgresql://user@host/database?schema=tidewheel`).

    It belongs to the event loop that opened it; opened in another one it connects anew. See `Store` for what each
    operation promises.
    """

    def __init__(self, url: str | PostgresOptions, env: Env | None = None) -> None:
        self.options = url if isinstance(url, PostgresOptions) else PostgresOptions.parse(url)
        self._env = env or Env()
        self._hints = Hints()
        self._sender = uuid.uuid4().hex
        self._joined = Joined(self.options)
        self._session: Session | None = None
        self._opening: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    # -- lifecycle

    async def open(self) -> None:
        """See `LifecycleStore.open`."""
        loop = asyncio.get_running_loop()
        if self._opening is None or self._opening[0] is not loop:
            self._opening = loop, asyncio.Lock()
        async with self._opening[1]:
            old = self._session
            if old is not None and old.open and old.loop is loop:
                return
            if old is not None and old.open:
                if old.loop.is_running():
                    raise StoreError(
                        "This store is open in another event loop that still runs. Close it there first, or use "
                        "`sibling()`."
                    )
                old.abandon()
            self._session = await self._started()

    async def _started(self) -> Session:
        session = await Session.start(self.options, self._env, self._hints, self._sender)
        try:
            await session.run(self._prepare)
        except BaseException:
            await session.close()
            raise
        return session

    async def _prepare(self, call: Call) -> None:
        await check_server(call.connection, self.options)
        version = await schema.current(call.connection, self.options)
        if version < schema.newest():
            schema.check_automatic(version, self.options)
            await schema.upgrade(call.connection, self.options)
        await schema.check_rights(call.connection, self.options)
        await self._joined.look(call.connection)
        await learn(call)

    async def close(self) -> None:
        """See `LifecycleStore.close`."""
        session, self._session = self._session, None
        if session is not None and session.open:
            if session.loop is asyncio.get_running_loop():
                await session.close()
            else:
                session.abandon()

    async def migrate(self) -> tuple[int, int]:
        """See `LifecycleStore.migrate`."""
        connection = await connect(self.options)
        try:
            await check_server(connection, self.options)
            return await schema.upgrade(connection, self.options)
        except ERRORS as error:
            raise translated(error, self.options) from error
        finally:
            connection.terminate()

    async def info(self) -> StoreInfo:
        """See `LifecycleStore.info`."""
        session = self._opened()
        # Without a pooler in between a listener is heard; with one it is asked.
        listen = session.ear is not None and not session.ear.deaf and (not session.pooled or await session.ear.hears())

        async def ask(call: Call) -> StoreInfo:
            row = await call.connection.fetchrow(
                f"SELECT current_setting('server_version'), current_setting('fsync'), "
                f"current_setting('synchronous_commit'), current_setting('enable_seqscan'), {CLOCK}"
            )
            assert row is not None  # noqa: S101 -- it has no condition
            version, fsync, commit, scans, now = row
            return StoreInfo(
                name="postgresql",
                version=version.split()[0],
                schema=await schema.current(call.connection, self.options),
                now=now,
                tx=True,
                listen=listen,
                durability=_durability(fsync, commit),
                notes=tuple(_notes(self.options, pooled=session.pooled, listen=listen, steady=scans == "off")),
            )

        return await self._run(ask)

    def sibling(self) -> PostgresStore:
        """See `LifecycleStore.sibling`: another store with connections of its own; hints they share."""
        twin = PostgresStore(self.options, self._env)
        twin._hints, twin._sender = self._hints, self._sender
        return twin

    # -- hot path

    async def enqueue(self, jobs: Sequence[NewJob], *, now: int | None = None) -> list[Enqueued]:
        """See `WorkStore.enqueue`."""
        check_batch(len(jobs))
        if not jobs:
            return []
        try:
            return await self._run(lambda call: work.enqueue(call, jobs, now), tell=True)
        except Refused as error:
            raise error.why from None

    async def enqueue_in(
        self, connection: object, jobs: Sequence[NewJob], *, now: int | None = None
    ) -> builtins.list[Enqueued]:
        """See `JoiningStore.enqueue_in`."""
        check_batch(len(jobs))
        try:
            return await self._joined.enqueue(connection, jobs, now)
        except Refused as error:
            raise error.why from None

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
        check_batch(len(wants))
        if not wants:
            return []
        return await self._run(
            lambda call: work.claim(call, wants, kinds=kinds, worker=worker, lease=lease, last_life=last_life, now=now)
        )

    async def beat(
        self, info: WorkerInfo, beats: Sequence[LeaseBeat], *, lease: int, now: int | None = None
    ) -> list[BeatAnswer]:
        """See `WorkStore.beat`."""
        check_batch(len(beats))
        return await self._run(lambda call: work.beat(call, info, beats, lease, now))

    async def settle(self, settlements: Sequence[Settlement], *, now: int | None = None) -> list[Accepted]:
        """See `WorkStore.settle`."""
        check_batch(len(settlements))
        if not settlements:
            return []
        return await self._run(lambda call: work.settle(call, settlements, now))

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

        def run(call: Call) -> Awaitable[SweepReport]:
            return upkeep.sweep(call, limit=limit, retention=retention, gone_after=worker_gone_after, now=now)

        return await self._run(run)

    @asynccontextmanager
    async def wakeups(self, interest: frozenset[Wakeup] = frozenset(Wakeup)) -> AsyncIterator[Heard]:
        """See `UpkeepStore.wakeups`. While the server is away only hints of this process are heard."""
        ear = self._opened().ear
        async with self._hints.listen(interest) as listener:
            if ear is None:
                yield listener
                return
            try:
                await ear.want(interest)
                yield listener
            finally:
                ear.leave(interest)

    # -- administration

    async def get(self, ids: Sequence[str]) -> list[Job | None]:
        """See `AdminStore.get`."""
        check_batch(len(ids))
        return await self._run(lambda call: admin.get(call, ids)) if ids else []

    async def list(self, where: JobFilter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See `AdminStore.list`."""
        admin.check_page(limit, cursor)
        return await self._run(lambda call: admin.list_jobs(call, where, limit, cursor))

    async def history(self, job_id: str) -> History | None:
        """See `AdminStore.history`."""
        return await self._run(lambda call: admin.history(call, job_id))

    async def alter(
        self, ids: Sequence[str] | JobFilter, action: Action, *, limit: int = 1000, now: int | None = None
    ) -> builtins.list[Altered]:
        """See `AdminStore.alter`."""
        if not isinstance(ids, JobFilter):
            check_batch(len(ids))
        elif ids.empty:
            raise ValueError(f"An empty filter would {action} every job. Name a state, queue, kind, tag, text or time.")
        return await self._run(
            lambda call: admin.alter(call, ids, action, limit, now), tell=True, again=(admin.REFUSED,)
        )

    async def put_queues(self, settings: Sequence[QueueSettings]) -> builtins.list[QueueSettings]:
        """See `AdminStore.put_queues`."""
        check_batch(len(settings))
        return await self._run(lambda call: admin.put_queues(call, settings), tell=True)

    async def queues(self) -> builtins.list[QueueStats]:
        """See `AdminStore.queues`."""
        return await self._run(admin.queues)

    async def workers(self) -> builtins.list[WorkerRow]:
        """See `AdminStore.workers`."""
        return await self._run(admin.workers)

    # -- limits

    async def put_limits(
        self, rows: Sequence[LimitRow], *, declared: bool, now: int | None = None
    ) -> builtins.list[LimitRow]:
        """See `LimitStore.put_limits`."""
        check_batch(len(rows))
        if not rows:
            return []
        return await self._run(lambda call: limits.put_limits(call, rows, declared=declared, now=now), tell=True)

    async def limits(self) -> builtins.list[LimitRow]:
        """See `LimitStore.limits`."""
        return await self._run(limits.limits)

    async def gates(
        self, *, limits: Sequence[str] = (), keys: Sequence[str] = (), limit: int = 100, now: int | None = None
    ) -> builtins.list[GateRow]:
        """See `LimitStore.gates`."""
        check_gates(limit)
        return await self._run(lambda call: list_gates(call, limits, keys, limit, now))

    async def hit(self, hits: Sequence[Hit], *, now: int | None = None) -> builtins.list[Allowance]:
        """See `LimitStore.hit`."""
        check_batch(len(hits))
        return await self._run(lambda call: limits.hit(call, hits, now)) if hits else []

    # -- graphs

    async def edges(self, ids: Sequence[str]) -> builtins.list[Edge]:
        """See `GraphStore.edges`."""
        check_batch(len(ids))
        return await self._run(lambda call: graphs.edges(call, admin.storable(ids))) if ids else []

    # -- inside

    def _opened(self) -> Session:
        if self._session is None or not self._session.open:
            raise StoreError(f"The store {self.options.shown} is not open. Open it (or its app) in this event loop.")
        return self._session

    def _run(
        self,
        operation: Callable[[Call], Awaitable[T]],
        *,
        tell: bool = False,
        again: tuple[type[Exception], ...] = (),
    ) -> Awaitable[T]:
        return self._opened().run(operation, tell=tell, again=again)


def _notes(options: PostgresOptions, *, pooled: bool, listen: bool, steady: bool) -> Iterator[str]:
    polling = "no LISTEN, so what other processes do is found by polling (`poll` of a worker, every second by default)"
    if options.listen == "off":
        yield f"?listen=off: {polling}."
    elif pooled and not listen:
        yield f"Transaction pooling found between here and the server: {polling}."
    elif pooled:
        yield "A pooler was found between here and the server; it passes notifications on, so LISTEN works."
    if pooled and not steady:
        yield (
            "The pooler does not pass on the settings that keep the plans of our statements steady. Give them to a user of "
            f'its own: ALTER ROLE "{options.user}" SET enable_seqscan = off; likewise enable_bitmapscan, enable_hashjoin, '
            "enable_mergejoin, enable_sort and jit."
        )


def _durability(fsync: str, commit: str) -> str:
    if fsync != "on":
        return "fsync is off on this server: a crash of the machine may destroy everything. Turn it on."
    if commit == "off":
        return "synchronous_commit is off on this server: its crash may undo the last moments, and let a job run twice."
    return "Neither a crash nor a power failure loses what was answered."
