"""How an app enqueues: one job, many, a graph, each of them also in a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, overload

from tidewheel._batches import BATCH, Batched, Sent, check_batch, new_jobs, own_answers, send, taken
from tidewheel._handle import JobHandle
from tidewheel._model.errors import DuplicateJob, NotEnqueued, QueueFull
from tidewheel._prepared import Group, PreparedJob, R, in_order
from tidewheel._store.base import check_batch as check_call
from tidewheel._store.caller import check_sync, drive
from tidewheel._stores import joining_store

if TYPE_CHECKING:
    from tidewheel._store.base import Store

_inserted = attrgetter("inserted")


class Enqueuing:
    """The part of `App` that puts jobs in."""

    url: str
    _store: Store

    async def ready(self) -> Store:
        """The store, opened for the running event loop, and it knows the limits of the tasks."""
        raise NotImplementedError

    async def enqueue_one(self, prepared: PreparedJob[R]) -> JobHandle[R]:
        """Add one prepared job, with those it waits for. See `Task.enqueue`."""
        if prepared.children:
            return await self.enqueue_graph(prepared)
        store = await self.ready()
        (handle,) = self._handles([([prepared], await store.enqueue([prepared.new]))])
        return handle

    async def enqueue_many(
        self, jobs: Iterable[PreparedJob[R]], *, batch: int = BATCH, connection: object | None = None
    ) -> list[JobHandle[R]]:
        """Add many jobs, `batch` to a round trip; each batch is added whole or not at all.

        Takes any iterable, also an endless-looking generator: only two batches are in memory at a time,
        besides the handles it gives back in order. Jobs that wait for others bring these along.

        With `connection` (sqlite3, asyncpg, psycopg or SQLAlchemy, to the app's own database) the jobs are enqueued in
        the transaction that is open on it: they exist when you commit, and never did when you roll back.

        Raises:
            StoreUnavailable, StoreFull, StoreError: batches before the failing one are in, the one after it may be.
                Give jobs ids of their own to repeat the whole call without doubling them.
                A failed call leaves a transaction of yours usable, with the batches before the failing one in it.
            TypeError: something that is no prepared job, or a connection that is none of those.
            ConfigError: the app's store cannot join a transaction; its message names the remedy.
            LimitKeyError: a limit finds no key in a job's arguments; says which job. Batches before its own are in.
            DuplicateJob, QueueFull: rules of the tasks refused some jobs. All others are in; the error has all handles.
        """
        check_batch(batch)
        if connection is not None:
            return await self._join(connection, jobs, batch)
        return self._handles(await send(await self.ready(), jobs, batch))

    def enqueue_in(
        self, connection: object, jobs: Iterable[PreparedJob[R]], *, batch: int = BATCH
    ) -> list[JobHandle[R]]:
        """`enqueue_many` in the transaction of a sync `connection`, for sync code: no event loop, no other thread.

        Raises: as `enqueue_many`.
        """
        check_batch(batch)
        check_sync(connection)
        return drive(self._join(connection, jobs, batch))

    @overload
    async def enqueue_graph(self, graph: PreparedJob[R], *, connection: object | None = None) -> JobHandle[R]: ...
    @overload
    async def enqueue_graph(self, graph: Group[R], *, connection: object | None = None) -> list[JobHandle[R]]: ...
    async def enqueue_graph(
        self, graph: PreparedJob[Any] | Group[Any], *, connection: object | None = None
    ) -> JobHandle[Any] | list[JobHandle[Any]]:
        """Add a job and all that it waits for, in one write: all of them are in, or none.

        Args:
            graph: what `chain`, `group(..., then=...)` and `prepared.after(...)` give; at most 10,000 jobs. Gives the handle
                of its last job; of a `group` without `then`, the handles of its jobs.
            connection: see `enqueue_many`.

        Raises:
            ValueError: a job waits for one that does not exist (any more), or there are too many. Nothing is in.
            ConfigError: jobs wait for one another in a circle.
            DuplicateJob, QueueFull: a rule refused the last job; the others are in.
            StoreUnavailable, StoreFull, StoreError: as for `enqueue_many`; nothing is in.
        """
        last = list(graph.jobs) if isinstance(graph, Group) else [graph]
        new = in_order(last)
        check_call(len(new))
        if connection is None:
            answers = await (await self.ready()).enqueue(new)
        else:
            answers = await joining_store(self._store, self.url).enqueue_in(connection, new)
        by_id = {one.id: answer for one, answer in zip(new, answers, strict=True)}
        handles = self._handles([(last, [by_id[one.id] for one in last])])
        return handles if isinstance(graph, Group) else handles[0]

    async def _join(self, connection: object, jobs: Iterable[PreparedJob[R]], batch: int) -> list[JobHandle[R]]:
        """The store is not opened for it: opening may want to write, and the caller may hold the lock."""
        store = joining_store(self._store, self.url)
        batched: Batched[R] = []
        source, before = iter(jobs), 0
        sent = Sent()
        while part := taken(source, batch, before):
            before += len(part)
            new, places = new_jobs(part, sent)
            answers = await store.enqueue_in(connection, new)
            batched.append((part, own_answers(answers, places)))
        return self._handles(batched)

    def _handles(self, batched: Batched[R]) -> list[JobHandle[R]]:
        handles: list[JobHandle[R]] = []
        clear = True
        for part, answers in batched:
            # There may be millions, so no call for each. Most answers have nothing more to say.
            handles += [
                JobHandle(
                    self,  # type: ignore[arg-type]
                    answer.id,
                    one.new.kind,
                    one.new.queue,
                    answer.inserted,
                    None if answer.inserted and answer.remaining is None and answer.cancelled is None else answer,
                )
                for one, answer in zip(part, answers, strict=True)
            ]
            clear = clear and all(map(_inserted, answers))
        if not clear:
            _refuse([one for part, _ in batched for one in part], handles)
        return handles


def _refuse(prepared: Sequence[PreparedJob[Any]], handles: Sequence[JobHandle[Any]]) -> None:
    """Tell the caller of jobs that a rule refused, if there are any.

    Raises:
        DuplicateJob, QueueFull: the first of them says why.
    """
    refused = [
        (place, one, handle)
        for place, (one, handle) in enumerate(zip(prepared, handles, strict=True))
        if handle.did == "full" or (one.strict and not handle.created and handle.id != one.id)
    ]
    if not refused:
        return
    place, one, handle = refused[0]
    where = ""
    if len(prepared) > 1:
        where = f"{len(refused)} of the {len(prepared)} jobs of the call were refused, the others are in. Job {place}, "
        where += "counted from 0: "
    raise _reason(where, one, handle, handles)


def _reason(
    where: str, one: PreparedJob[Any], handle: JobHandle[Any], handles: Sequence[JobHandle[Any]]
) -> NotEnqueued:
    new = one.new
    if handle.did == "full":
        backlog = new.backlog
        most = f": {backlog.most:,} of {backlog.key!r}" if backlog else ""
        remedy = "Enqueue it later, start more workers, or give the task another Backlog."
        return QueueFull(f"{where}{new.kind}: as many jobs wait as may{most}. {remedy}", handles=handles)
    key = f"the key {new.rule.key!r}" if new.rule else "its key"
    text = f"{where}{new.kind}: the job {handle.id} holds {key}. It was not enqueued: the task's Unique says 'raise'."
    return DuplicateJob(text, existing_id=handle.id, handles=handles)
