"""The Redis store: every operation is one script, called with one question."""

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from tidewheel._env import Env
from tidewheel._model.desk import comes_to_the_desk
from tidewheel._model.errors import StoreError
from tidewheel._model.graph import Edge
from tidewheel._model.job import Claimed, History, Job, Lease, NewJob
from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow
from tidewheel._model.outcome import Discarded, Settlement
from tidewheel._model.query import Accepted, Action, Altered, Enqueued, JobFilter, Page, StoreInfo, SweepReport
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.retention import RetentionRule
from tidewheel._model.state import JobState
from tidewheel._model.transition import alterable
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo, WorkerRow
from tidewheel._store.base import Heard, check_batch, check_gates
from tidewheel._store.redis import gates, rows, work
from tidewheel._store.redis.habit import Habit
from tidewheel._store.redis.keys import SCHEMA
from tidewheel._store.redis.links import Links
from tidewheel._store.redis.options import RedisOptions
from tidewheel._store.redis.radio import Radio
from tidewheel._store.redis.server import Server, check_automatic, schema_of

T = TypeVar("T")
_STRETCH: Final = 1000
"""Rows that one script looks at when it searches: a few milliseconds during which others wait."""
_BEATS: Final = {"e": BeatAnswer.EXTENDED, "c": BeatAnswer.CANCEL, "l": BeatAnswer.LOST}
_json: Final = msgspec.json.Encoder()
_worker: Final = msgspec.json.Decoder(WorkerInfo)
_queue: Final = msgspec.msgpack.Decoder(tuple[str, bool, dict[str, int], int | bool])
_clock: Final = msgspec.msgpack.Decoder(tuple[int, int])


class RedisStore:
    """A store on a Redis or Valkey server (`redis://host:6379/0?namespace=tidewheel`).
    See `Store` for what each operation promises.
    """

    def __init__(self, url: str | RedisOptions, env: Env | None = None) -> None:
        self.options = url if isinstance(url, RedisOptions) else RedisOptions.parse(url)
        self._env = env or Env()
        self._opened: tuple[Links, Radio] | None = None
        self._habit = Habit()
        self._spare_ids: deque[str] = deque()
        """Ids that were made for jobs that tell of dead letters, and not needed."""

    # -- lifecycle

    async def open(self) -> None:
        """See `LifecycleStore.open`. Connections belong to the event loop that opened them: in another loop,
        open again.
        """
        if self._opened is not None:
            if self._opened[0].loop is asyncio.get_running_loop():
                return
            self._abandon()
        links = Links(self.options)
        try:
            server = await Server.ask(links)
            server.check(self.options)
            schema = await schema_of(links)
            if schema < SCHEMA:
                check_automatic(schema, self.options)
                await links.run("migrate")
        except BaseException:
            await links.close()
            raise
        self._opened = links, Radio(self.options)

    def _abandon(self) -> None:
        """Leave the connections of another event loop to it; a loop that has ended took them along."""
        assert self._opened is not None  # noqa: S101 -- asked by `open`
        links, self._opened = self._opened[0], None
        if links.loop.is_running():
            asyncio.run_coroutine_threadsafe(links.close(), links.loop)

    async def close(self) -> None:
        """See `LifecycleStore.close`."""
        if self._opened is not None:
            (links, radio), self._opened = self._opened, None
            if links.loop is asyncio.get_running_loop():
                await radio.off()
                await links.close()

    async def migrate(self) -> tuple[int, int]:
        """See `LifecycleStore.migrate`."""
        links = self._links if self._opened is not None else Links(self.options)
        try:
            (await Server.ask(links)).check(self.options)
            await schema_of(links)
            before = int(await links.run("migrate"))
            return before, max(before, SCHEMA)
        finally:
            if self._opened is None:
                await links.close()

    async def info(self) -> StoreInfo:
        """See `LifecycleStore.info`."""
        links = self._links
        server = await Server.ask(links)
        schema, now = _clock.decode(await links.run("now"))
        return StoreInfo(
            name=server.name,
            version=server.version,
            schema=schema,
            now=now,
            tx=False,
            listen=True,
            durability=await server.durability(links),
        )

    def sibling(self) -> RedisStore:
        """See `LifecycleStore.sibling`: connections belong to one event loop, so another thread gets its own."""
        return RedisStore(self.options, self._env)

    # -- the hot path

    async def enqueue(self, jobs: Sequence[NewJob], *, now: int | None = None) -> list[Enqueued]:
        """See `WorkStore.enqueue`."""
        check_batch(len(jobs))
        if not jobs:
            return []
        if any(map(comes_to_the_desk, jobs)):
            batch = rows.batch([rows.asking_row(job) for job in jobs])
            asked = ("enqueue_asking", now, batch, work.REPLACED, work.DROPPED)
            return await self._telling(asked, partial(work.answered, jobs))
        if len(jobs) == 1 and work.plain(jobs[0]):
            return work.enqueued([jobs[0].id], await self._links.run("enqueue_one", now, rows.new_row(jobs[0])))
        answer = await self._links.run("enqueue", now, rows.batch([rows.new_row(job) for job in jobs]))
        return work.enqueued([job.id for job in jobs], answer)

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
        asked = now, [(want.queue, want.slots) for want in wants], list(kinds), worker, lease, last_life
        found = await self._links.run("claim_plain", *asked) if self._habit.plain() else None
        if found is None:
            found = await self._links.run("claim", *asked)
            self._habit.unusual()
        claimed, broken = builtins.list[Claimed](), builtins.list[Lease]()
        values = iter(found)
        for row in zip(values, values, values, values, values, strict=True):
            job = rows.claimed(*row)
            if isinstance(job, Claimed):
                claimed.append(job)
            else:
                broken.append(job)
        if broken:  # set aside; its neighbours run
            await self.settle([Settlement(one, Discarded(work.UNREADABLE)) for one in broken], now=now)
        return claimed

    async def beat(
        self, info: WorkerInfo, beats: Sequence[LeaseBeat], *, lease: int, now: int | None = None
    ) -> list[BeatAnswer]:
        """See `WorkStore.beat`."""
        check_batch(len(beats))
        said = [(*beat.lease, beat.progress, rows.said(beat.logs) if beat.logs else None) for beat in beats]
        told = None if info.stopped else _json.encode(info).decode()
        letters = await self._links.run("beat", now, info.id, told, lease, said)
        return [_BEATS[letter] for letter in letters.decode()]

    async def settle(self, settlements: Sequence[Settlement], *, now: int | None = None) -> list[Accepted]:
        """See `WorkStore.settle`."""
        check_batch(len(settlements))
        if not settlements:
            return []
        items = rows.batch([work.settlement(one) for one in settlements])
        few = sum(isinstance(one.outcome, Discarded) for one in settlements)
        return await self._telling(("settle", now, items), work.settled, few)

    async def _telling(
        self, asked: tuple[Any, ...], read: Callable[[Any], tuple[int, T | None]], few: int = 0, *more: Any
    ) -> T:
        """Run a script that may have to make jobs which tell of dead letters, with so many ids for them; once more with as
        many as it wants when it says that these are too few.
        """
        while True:
            ids = self._ids(few)
            used, done = read(await self._links.run(*asked, ids, work.TOLD, *more))
            self._spare_ids.extendleft(reversed(ids if done is None else ids[used:]))
            if done is not None:
                return done
            few = used

    def _ids(self, count: int) -> builtins.list[str]:
        """Ids for jobs that may be needed. After a lost reply they are gone: they may have been used."""
        return [self._spare_ids.popleft() if self._spare_ids else self._env.ids() for _ in range(count)]

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
        rules = work.rules(retention)
        asked = ("sweep", now, limit, worker_gone_after, rules, work.CRASHED, work.LEASE_OVER)
        return await self._telling(asked, work.swept, 0, work.EXPIRED)

    @asynccontextmanager
    async def wakeups(self, interest: frozenset[Wakeup] = frozenset(Wakeup)) -> AsyncIterator[Heard]:
        """See `UpkeepStore.wakeups`."""
        async with self._live[1].listen(interest) as listener:
            yield listener

    # -- administration

    async def get(self, ids: Sequence[str]) -> builtins.list[Job | None]:
        """See `AdminStore.get`."""
        check_batch(len(ids))
        return [rows.job_or_none(row) for row in await self._links.run("get", *ids)]

    async def list(self, where: JobFilter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """See `AdminStore.list`. Each stretch of a search is one script; the cursor keeps the pages whole."""
        if not 1 <= limit <= 1000:
            raise ValueError(f"limit={limit}: a page has 1 to 1000 jobs.")
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise ValueError(f"{cursor!r} is no cursor of this store. Pass on what `Page.next` gave, or None to start.")
        asked, index = work.filter_row(where), work.index_for(where.states)
        behind, found = None if cursor is None else int(cursor), builtins.list[tuple[int, Job]]()
        while True:
            wanted = limit + 1 - len(found)
            last, *more = await self._links.run("scan", asked, index, behind, "newest first", _STRETCH, wanted, "whole")
            found += [rows.job(row) for row in more]
            if len(found) > limit or not last:
                break
            behind = int(last)
        jobs = tuple(job for _, job in found[:limit])
        return Page(jobs=jobs, next=str(found[limit - 1][0]) if len(found) > limit else None)

    async def history(self, job_id: str) -> History | None:
        """See `AdminStore.history`."""
        found = await self._links.run("history", job_id)
        job = rows.job_or_none(found[0]) if found else None
        if job is None:
            return None
        attempts, logs = found[1:]
        return History(
            job=job, attempts=tuple(rows.attempt(job_id, row) for row in attempts), logs=tuple(map(rows.log, logs))
        )

    async def alter(
        self, ids: Sequence[str] | JobFilter, action: Action, *, limit: int = 1000, now: int | None = None
    ) -> builtins.list[Altered]:
        """See `AdminStore.alter`. A filter is searched for first; the jobs found are altered in one script, those
        that still match.
        """
        if not isinstance(ids, JobFilter):
            check_batch(len(ids))
            return [answer for answer, _ in await self._alter(ids, action, None, now)]
        if ids.empty:
            raise ValueError(f"An empty filter would {action} every job. Name a state, queue, kind, tag, text or time.")
        states = sorted(alterable(action) & frozenset(ids.states or JobState))
        if not states:
            return []
        asked, index = work.filter_row(ids, states, not_asked=True), work.index_for(states)
        answers, behind, more = builtins.list[Altered](), None, True
        while more and len(answers) < limit:
            found = builtins.list[str]()
            while more and len(answers) + len(found) < limit:
                wanted = limit - len(answers) - len(found)
                last, *some = await self._links.run(
                    "scan", asked, index, behind, "oldest first", _STRETCH, wanted, "ids"
                )
                found += [id.decode() for id in some]
                behind, more = (int(last), True) if last else (None, False)
            if found:
                done = await self._alter(found, action, asked, now)
                answers += [answer for answer, changed in done if changed]
        return answers

    async def _alter(
        self, ids: Sequence[str], action: Action, where: tuple[Any, ...] | None, now: int | None
    ) -> builtins.list[tuple[Altered, bool]]:
        return await self._telling(("alter", now, action, ids, where), partial(work.altered, ids))

    async def put_queues(self, settings: Sequence[QueueSettings]) -> builtins.list[QueueSettings]:
        """See `AdminStore.put_queues`."""
        check_batch(len(settings))
        await self._links.run("put_queues", [(one.name, one.paused) for one in settings])
        return [*settings]

    async def queues(self) -> builtins.list[QueueStats]:
        """See `AdminStore.queues`."""
        stats = []
        for row in await self._links.run("queues"):
            name, paused, counts, oldest = _queue.decode(row)
            known = {state: counts.get(state, 0) for state in JobState}
            waits = None if oldest is False else int(oldest)
            stats.append(QueueStats(name=name, paused=paused, counts=known, oldest_available=waits))
        return sorted(stats, key=lambda one: one.name)

    async def workers(self) -> builtins.list[WorkerRow]:
        """See `AdminStore.workers`."""
        found = iter(await self._links.run("workers"))
        listed = [
            WorkerRow(info=_worker.decode(info), seen_at=int(float(seen)))
            for info, seen in zip(found, found, strict=True)
        ]
        return sorted(listed, key=lambda row: (row.info.started_at, row.info.id))

    # -- graphs

    async def edges(self, ids: Sequence[str]) -> builtins.list[Edge]:
        """See `GraphStore.edges`."""
        check_batch(len(ids))
        values = iter(await self._links.run("edges", *ids))
        found = {(parent, child): row for parent, child, row in zip(values, values, values, strict=True)}
        edges = [rows.edge(parent, child, row) for (parent, child), row in found.items()]
        return sorted(edges, key=lambda edge: (edge.parent, edge.place))

    # -- limits

    async def put_limits(
        self, rows: Sequence[LimitRow], *, declared: bool, now: int | None = None
    ) -> builtins.list[LimitRow]:
        """See `LimitStore.put_limits`."""
        check_batch(len(rows))
        answer = await self._links.run("put_limits", now, declared, gates.rows(rows, declared=declared))
        return gates.stored([row.name for row in rows], answer)

    async def limits(self) -> builtins.list[LimitRow]:
        """See `LimitStore.limits`."""
        return gates.listed(await self._links.run("limits"))

    async def gates(
        self, *, limits: Sequence[str] = (), keys: Sequence[str] = (), limit: int = 100, now: int | None = None
    ) -> builtins.list[GateRow]:
        """See `LimitStore.gates`."""
        check_gates(limit)
        check_batch(len(limits) + len(keys))
        return [gates.gate(row) for row in await self._links.run("list_gates", now, limits, keys, limit)]

    async def hit(self, hits: Sequence[Hit], *, now: int | None = None) -> builtins.list[Allowance]:
        """See `LimitStore.hit`."""
        check_batch(len(hits))
        answer = await self._links.run("hit", now, [(hit.limit, hit.value, hit.cost) for hit in hits])
        return gates.allowances(hits, answer)

    # -- inside

    @property
    def _live(self) -> tuple[Links, Radio]:
        if self._opened is None:
            raise StoreError("The store is not open. `await store.open()` comes first.")
        return self._opened

    @property
    def _links(self) -> Links:
        return self._live[0]
