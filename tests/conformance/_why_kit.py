"""Worlds for `why`: a store at a moment, a crew of workers that do what the engine's do, and obstacles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from tidewheel._evidence import suspect
from tidewheel._facts import explain
from tidewheel._model.job import Lease
from tidewheel._model.limit import PAUSED, GateRow
from tidewheel._model.outcome import Complete
from tidewheel._model.query import Action, JobFilter, StoreInfo
from tidewheel._model.queue import QueueSettings
from tidewheel._model.state import JobState
from tidewheel._model.worker import LeaseBeat, Want, WorkerInfo
from tidewheel._pauses import paused_kinds
from tidewheel._why import Why
from tidewheel.testing.conformance.kit import LEASE, Kit, worker_info


class AtTheClock:
    """A server's store has a clock of its own; here it is told the time of the test's."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kit.store, name)

    async def gates(self, **which: Any) -> list[GateRow]:
        return await self._kit.store.gates(now=self._kit.clock(), **which)

    async def info(self) -> StoreInfo:
        return replace(await self._kit.store.info(), now=self._kit.clock())


@dataclass
class World:
    """A store, and who works on it."""

    kit: Kit
    crew: list[WorkerInfo] = field(default_factory=list)

    async def hire(self, worker: str = "w1", **changes: Any) -> None:
        """One more worker: of the queue `default`, the kind `work`, with 10 slots, if nothing else is said."""
        self.crew.append(worker_info(worker, **changes))
        await self._beat(self.crew[-1])

    async def why(self, job_id: str) -> Why:
        store: Any = AtTheClock(self.kit)
        answer = await explain(store, job_id)
        assert answer is not None
        return answer

    async def turn(self) -> None:
        """Everybody who lives beats, one sweeps, and each claims for its free slots, as the engine does."""
        await self.beat()
        if self.crew:
            await self.kit.sweep()
        for info in self.crew:
            await self._claim(info)

    async def beat(self) -> None:
        """Everybody who lives beats, and no more."""
        for info in self.crew:
            await self._beat(info)

    async def _beat(self, info: WorkerInfo) -> None:
        running = [job for job in await self._running() if job.worker == info.id]
        info = replace(info, running=len(running))
        leases = [LeaseBeat(Lease(job.id, job.epoch)) for job in running]
        await self.kit.store.beat(info, leases, lease=LEASE, now=self.kit.clock())

    async def _claim(self, info: WorkerInfo) -> None:
        paused = await paused_kinds(self.kit.store)
        for queue in info.queues:
            running = [job for job in await self._running() if job.worker == info.id]
            free = info.concurrency - len(running)
            if free > 0:
                await self.kit.store.claim(
                    [Want(queue, free)],
                    kinds=[kind for kind in info.kinds if kind not in paused],
                    worker=info.id,
                    lease=LEASE,
                    last_life=not any(suspect(job) for job in running),
                    now=self.kit.clock(),
                )

    async def _running(self) -> Sequence[Any]:
        return (await self.kit.store.list(JobFilter(states=(JobState.RUNNING,)), limit=1000)).jobs

    async def runs(self, job_id: str) -> bool:
        return (await self.kit.row(job_id)).state is JobState.RUNNING

    async def end(self, *ids: str) -> None:
        """Running ones complete, waiting ones are cancelled."""
        for one in ids:
            row = await self.kit.row(one)
            if row.state is JobState.RUNNING:
                await self.kit.settle(Lease(one, row.epoch), Complete("1"))
            else:
                await self.kit.alter(Action.CANCEL, one)

    async def remove(self, job_id: str, answer: Why) -> None:
        """Remove exactly the reason that was named, knowing no more than the answer."""
        kit, row = self.kit, await self.kit.row(job_id)
        if answer.holders:
            await self.end(*answer.holders)
        elif answer.code == "queue_paused":
            await kit.store.put_queues([QueueSettings(name=row.queue)])
        elif answer.code == "task_paused":
            await kit.overrule(PAUSED + row.kind)
        elif answer.code in ("no_worker", "unknown_task"):
            await self.hire(f"new-{len(self.crew)}", queues=(row.queue,), kinds=(row.kind,))
        elif answer.code == "limit_undeclared":
            await kit.limit(answer.text.split("'")[1], slots=5)
        elif answer.code == "limit_paused":
            limit, _, key = answer.text.partition("tidewheel limits resume ")[2].partition(" --key ")
            await kit.overrule(limit + (":" + key.strip("'") if key else ""))
        elif answer.code == "ended":
            await kit.alter(Action.RETRY, job_id)
        elif answer.until is not None:
            kit.clock.set(max(kit.clock(), answer.until))
        else:
            assert answer.code in ("let_in", "next"), answer
