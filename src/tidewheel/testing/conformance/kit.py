"""What the tests of the suite share: a store, its clock, and short ways to bring a job where a test needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import pytest
import pytest_asyncio

from tidewheel._env import Env
from tidewheel._model.duration import SECOND
from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.job import Claimed, ErrorInfo, History, Job, Lease, LogLine, NewJob
from tidewheel._model.limit import GateRow, LimitRow, Rule
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Settlement, Snoozed
from tidewheel._model.query import Accepted, Action, Altered, Enqueued, JobFilter, SweepReport
from tidewheel._model.retention import RetentionRule
from tidewheel._model.state import JobState
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Want, WorkerInfo
from tidewheel._store.base import Store
from tidewheel.testing._clock import CountingIds, FakeClock, fake_env

StoreMaker: TypeAlias = Callable[[Env], Store]
"""Makes a new, empty store that is not open yet."""

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
LEASE: Final = MINUTE
"""Lease time of the tests, where they do not say another."""

BOOM: Final = ErrorInfo("ValueError", "boom", "Traceback: …")
OUTCOMES: Final[dict[str, Outcome]] = {
    "complete": Complete('"done"'),
    "retry": RetryLater(HOUR, BOOM),
    "snooze": Snoozed(HOUR),
    "release": Released("the worker stops"),
    "cancel": Cancelled("not needed"),
    "discard": Discarded(BOOM),
}
each_outcome = pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
each_state = pytest.mark.parametrize("state", list(JobState))
_WAY_TO: Final[dict[JobState, Callable[[int], Outcome]]] = {
    JobState.RETRYABLE: lambda wait: RetryLater(wait, BOOM),
    JobState.COMPLETED: lambda _: Complete('"done"'),
    JobState.CANCELLED: lambda _: Cancelled("not needed"),
    JobState.DISCARDED: lambda _: Discarded(BOOM),
}


SHUT: Final = "shut"
"""The limit under which `Kit.at` parks a job."""


def flow(*passes: str | Pass) -> str:
    """`NewJob.flow` of a job that must pass these gates. A text, `limit` or `limit:value`, is one that takes a slot."""
    known = (Pass(*one.partition(":")[::2]) if isinstance(one, str) else one for one in passes)
    return flow_text(Flow(tuple(known)))


def worker_info(worker: str, **changes: Any) -> WorkerInfo:
    """A worker as it presents itself in a beat."""
    values = {"host": "host", "pid": 7, "queues": ("default",), "kinds": ("work",), "concurrency": 10, **changes}
    return WorkerInfo(id=worker, **values)


@dataclass
class Kit:
    """A store at a moment that stands still. Every call passes that moment on."""

    store: Store
    clock: FakeClock
    _ids: CountingIds = field(default_factory=lambda: CountingIds("test-"))

    def new(self, **changes: Any) -> NewJob:
        """A job of kind `work` with a new id."""
        return NewJob(**{"id": self._ids(), "kind": "work", "args": '{"args":[],"kwargs":{}}', **changes})

    async def enqueue(self, *jobs: NewJob) -> list[Enqueued]:
        return await self.store.enqueue(jobs, now=self.clock())

    async def put(self, **changes: Any) -> str:
        """Enqueue one job; gives its id."""
        (answer,) = await self.enqueue(self.new(**changes))
        assert answer.inserted, answer
        return answer.id

    async def claim(
        self, slots: int = 1000, queue: str = "default", *, worker: str = "w1", lease: int = LEASE, kind: str = "work"
    ) -> list[Claimed]:
        wants = [Want(queue, slots)]
        return await self.store.claim(wants, kinds=[kind], worker=worker, lease=lease, now=self.clock())

    async def claimed_ids(self, slots: int = 1000, queue: str = "default") -> list[str]:
        return [job.id for job in await self.claim(slots, queue)]

    async def run(self, *, worker: str = "w1", lease: int = LEASE, **changes: Any) -> Claimed:
        """Enqueue one job and claim it. No other job may wait in its queue."""
        job = self.new(**changes)
        await self.enqueue(job)
        (claimed,) = await self.claim(2, job.queue, worker=worker, lease=lease, kind=job.kind)
        assert claimed.id == job.id
        return claimed

    async def at(self, state: JobState, *, wait: int = HOUR, **changes: Any) -> Job:
        """A job in `state`; one that waits is due after `wait`."""
        if state is JobState.SCHEDULED:
            return await self.row(await self.put(delay=wait, **changes))
        if state is JobState.AVAILABLE:
            return await self.row(await self.put(**changes))
        if state is JobState.PARKED:
            return await self.park(**changes)
        claimed = await self.run(**changes)
        if state is not JobState.RUNNING:
            await self.settle(claimed.lease, _WAY_TO[state](wait))
        row = await self.row(claimed.id)
        assert row.state is state
        return row

    async def park(self, **changes: Any) -> Job:
        """A job that waits at the gate `SHUT`, which is paused. No other job may wait in its queue."""
        await self.limit(SHUT, paused=True)
        job = self.new(**{"flow": flow(SHUT), **changes})
        await self.enqueue(job)
        assert await self.claim(2, job.queue, kind=job.kind) == []
        row = await self.row(job.id)
        assert row.state is JobState.PARKED
        return row

    async def limit(self, name: str, **rule: Any) -> None:
        """Declare a limit."""
        await self.store.put_limits([LimitRow(name=name, declared=Rule(**rule))], declared=True, now=self.clock())

    async def overrule(self, name: str, **rule: Any) -> None:
        """An operator's word about a limit or a gate; without any, take it back."""
        operator = Rule(**rule) if rule else None
        await self.store.put_limits([LimitRow(name=name, operator=operator)], declared=False, now=self.clock())

    async def gate(self, key: str) -> GateRow:
        (row,) = await self.store.gates(keys=[key], now=self.clock())
        return row

    async def states(self, *ids: str) -> list[str]:
        """The states of jobs, as words."""
        return [(await self.row(job_id)).state.value for job_id in ids]

    async def settle(
        self, lease: Lease, outcome: Outcome, *, progress: str | None = None, logs: Sequence[LogLine] = ()
    ) -> Accepted:
        settlement = Settlement(lease, outcome, progress=progress, logs=tuple(logs))
        (answer,) = await self.store.settle([settlement], now=self.clock())
        return answer

    async def beat(
        self,
        *leases: Lease,
        worker: str = "w1",
        lease: int = LEASE,
        progress: str | None = None,
        logs: Sequence[LogLine] = (),
    ) -> list[BeatAnswer]:
        beats = [LeaseBeat(one, progress=progress, logs=tuple(logs)) for one in leases]
        return await self.store.beat(worker_info(worker), beats, lease=lease, now=self.clock())

    async def sweep(
        self, *rules: RetentionRule, limit: int = 1000, worker_gone_after: int = 90 * SECOND
    ) -> SweepReport:
        return await self.store.sweep(
            limit=limit, retention=rules, worker_gone_after=worker_gone_after, now=self.clock()
        )

    async def alter(self, action: Action, *ids: str) -> list[Altered]:
        return await self.store.alter(ids, action, now=self.clock())

    async def alter_where(self, action: Action, *, limit: int = 1000, **where: Any) -> list[Altered]:
        return await self.store.alter(JobFilter(**where), action, limit=limit, now=self.clock())

    async def exists(self, job_id: str) -> bool:
        return (await self.store.get([job_id]))[0] is not None

    async def row(self, job_id: str) -> Job:
        (job,) = await self.store.get([job_id])
        assert job is not None, f"there is no job {job_id}"
        return job

    async def past(self, job_id: str) -> History:
        history = await self.store.history(job_id)
        assert history is not None, f"there is no job {job_id}"
        return history

    async def listed(self, **where: Any) -> list[str]:
        """Ids of the jobs that match, newest first."""
        page = await self.store.list(JobFilter(**where), limit=1000)
        return [job.id for job in page.jobs]

    async def everything(self) -> dict[str, History]:
        """All that a store knows of its jobs."""
        return {job_id: await self.past(job_id) for job_id in await self.listed()}


@pytest.mark.asyncio
class Suite:
    """The tests of one theme. The fixture `make_store` is the test module's."""

    @pytest_asyncio.fixture
    async def kit(self, make_store: StoreMaker) -> AsyncIterator[Kit]:
        clock = FakeClock()
        store = make_store(fake_env(clock, ids="made-"))
        await store.open()
        yield Kit(store, clock)
        await store.close()
