"""The store in memory: the reference model that the other stores are compared with.

It is written to be read: one dictionary holds the jobs in the order of their enqueue, every operation is a loop
over it under one lock. Nothing survives the process.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager

from msgspec import json
from msgspec.structs import replace

from tidewheel._model.desk import WAITING
from tidewheel._model.job import Claimed, Job, LogLine, on_last_life
from tidewheel._model.outcome import Complete, Outcome, Settlement
from tidewheel._model.query import Accepted, StoreInfo, SweepReport
from tidewheel._model.retention import Keep, RetentionRule, rule_for
from tidewheel._model.state import FINAL_STATES, WAITING_STATES, JobState
from tidewheel._model.transition import EXPIRED_ERROR, ending_of, rescue_of_job
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo, WorkerRow
from tidewheel._store.base import Heard
from tidewheel._store.memory_admin import MemoryAdmin


class MemoryStore(MemoryAdmin):
    """Jobs in the memory of this process, for tests and for trying things out. Any thread may use it."""

    # WorkStore; its enqueue is `MemoryDesk`'s

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
        """Hand out available jobs under leases."""
        claimed: list[Claimed] = []
        with self._atom(now, len(wants)) as at, self._watched(at) as touched:
            for want in wants:
                if want.slots <= 0 or self._paused(want.queue):
                    continue
                line = self._line(want.queue, kinds)
                suspects = [job for job in line if last_life and _last_life(job)]
                others = [job for job in line if not _last_life(job)]
                taken = self._walk(suspects, 1, touched, at)
                last_life = last_life and not taken
                taken += self._walk(others, want.slots - len(taken), touched, at)
                claimed += [self._lend(job, worker, lease, at) for job in taken]
        return claimed

    def _line(self, queue: str, kinds: Sequence[str]) -> list[Job]:
        """The available jobs of a queue, those first that run first."""
        waiting = [job for job in self._jobs(JobState.AVAILABLE) if job.queue == queue and job.kind in kinds]
        return sorted(waiting, key=self._turn)

    def _lend(self, job: Job, worker: str, lease: int, now: int) -> Claimed:
        job = replace(
            job,
            state=JobState.RUNNING,
            epoch=job.epoch + 1,
            attempt=job.attempt + 1,
            worker=worker,
            started_at=now,
            lease_until=now + lease,
            parked_by=None,
        )
        self._put(job)
        return Claimed(
            id=job.id,
            epoch=job.epoch,
            kind=job.kind,
            queue=job.queue,
            args=job.args,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            crashes=job.crashes,
            enqueued_at=job.enqueued_at,
            claimed_at=now,
            tags=json.encode(job.tags).decode() if job.tags else None,
            meta=job.meta,
            options=job.options,
            max_crashes=job.max_crashes,
        )

    async def beat(
        self, info: WorkerInfo, beats: Sequence[LeaseBeat], *, lease: int, now: int | None = None
    ) -> list[BeatAnswer]:
        """Say that a worker lives, extend its leases, write progress and log lines."""
        with self._atom(now, len(beats)) as at:
            if info.stopped:
                self._workers.pop(info.id, None)
            else:
                self._workers[info.id] = WorkerRow(info=info, seen_at=at)
            return [self._beat(beat, at + lease) for beat in beats]

    def _beat(self, beat: LeaseBeat, until: int) -> BeatAnswer:
        row = self._rows.get(beat.lease.job_id)
        if row is None or row.job.state is not JobState.RUNNING or row.job.epoch != beat.lease.epoch:
            return BeatAnswer.LOST
        self._put(replace(self._heard(row.job, beat.progress, beat.logs), lease_until=until))
        return BeatAnswer.CANCEL if row.job.cancel_requested else BeatAnswer.EXTENDED

    async def settle(self, settlements: Sequence[Settlement], *, now: int | None = None) -> list[Accepted]:
        """Write how attempts ended."""
        ended = list[tuple[Job, Outcome]]()
        with self._atom(now, len(settlements)) as at, self._watched(at) as touched:
            answers = [self._settle(settlement, ended, at) for settlement in settlements]
            for job, outcome in sorted(ended, key=lambda end: isinstance(end[1], Complete)):
                touched.update(self._give_back(job, outcome, at))
            return answers

    def _settle(self, settlement: Settlement, ended: list[tuple[Job, Outcome]], now: int) -> Accepted:
        row = self._rows.get(settlement.lease.job_id)
        if row is None or row.job.epoch != settlement.lease.epoch:
            return Accepted.STALE
        if row.job.state is JobState.RUNNING:
            job = self._heard(row.job, settlement.progress, settlement.logs)
            ending = ending_of(
                settlement.outcome,
                attempt=job.attempt,
                run_at=job.run_at,
                cancel_requested=job.cancel_requested,
                now=now,
            )
            ended.append((self._end(job, ending, now), settlement.outcome))
        return Accepted.ACCEPTED

    def _heard(self, job: Job, progress: str | None, logs: Iterable[LogLine]) -> Job:
        """The job with what its handler said last; the log drops its oldest lines by itself."""
        self._rows[job.id].logs.extend(logs)
        return job if progress is None else replace(job, progress=progress)

    # UpkeepStore

    async def sweep(
        self,
        *,
        limit: int = 1000,
        retention: Sequence[RetentionRule] = (),
        worker_gone_after: int = 90_000_000,
        now: int | None = None,
    ) -> SweepReport:
        """Expire, open gates, promote, rescue, forget workers, prune."""
        with self._atom(now) as at:
            expired = self._expire(limit, at)
            self._tell(at)
            looked = self._open_gates(limit, at)
            promoted = self._promote(limit, at)
            rescued = self._rescue(limit, at)
            self._tell(at)
            gone = self._forget_workers(limit, at - worker_gone_after)
            pruned = self._prune(limit, retention, at)
            if retention:
                self._tidy_gates(at)
                self._tidy_keys(at)
            return SweepReport(
                promoted=promoted,
                rescued=sum(job.state is JobState.AVAILABLE for job in rescued),
                discarded=tuple(job.id for job in rescued if job.state is JobState.DISCARDED),
                cancelled=sum(job.state is JobState.CANCELLED for job in rescued),
                workers_gone=gone,
                pruned=pruned,
                opened=self._opened,
                expired=expired,
                now=at,
                more=max(expired, looked, promoted, len(rescued), len(gone), pruned) >= limit,
                next_due_at=self._next_due_at(),
            )

    def _expire(self, limit: int, now: int) -> int:
        over = [(job.expires_at, job) for job in self._jobs(*WAITING) if job.expires_at is not None]
        due = sorted((pair for pair in over if pair[0] <= now), key=lambda pair: pair[0])[:limit]
        for _, job in due:
            self._withdraw(job, now, EXPIRED_ERROR)
        return len(due)

    def _promote(self, limit: int, now: int) -> int:
        due = [job for job in self._jobs(*WAITING_STATES) if job.run_at <= now]
        promoted = sorted(due, key=lambda job: job.run_at)[:limit]
        for job in promoted:
            self._put(replace(job, state=JobState.AVAILABLE, run_at=job.run_at - job.lead))
        return len(promoted)

    def _rescue(self, limit: int, now: int) -> list[Job]:
        """The jobs whose lease was over, as they are now."""
        over = [(job.lease_until, job) for job in self._jobs(JobState.RUNNING) if job.lease_until is not None]
        due = sorted((pair for pair in over if pair[0] <= now), key=lambda pair: pair[0])[:limit]
        rescued = []
        with self._watched(now) as touched:
            for _, job in due:
                ending = rescue_of_job(job)
                ended = self._end(job, ending, now)
                self._put(replace(ended, epoch=job.epoch + 1, crashes=job.crashes + 1))
                touched.update(self._give_back(ended, None, now))
                rescued.append(ended)
        return rescued

    def _forget_workers(self, limit: int, silent_since: int) -> tuple[str, ...]:
        busy = {job.worker for job in self._jobs(JobState.RUNNING)}
        silent = [row for row in self._workers.values() if row.seen_at <= silent_since and row.info.id not in busy]
        silent.sort(key=lambda row: (row.seen_at, row.info.id))
        gone = tuple(row.info.id for row in silent[:limit])
        for worker in gone:
            del self._workers[worker]
        return gone

    def _prune(self, limit: int, rules: Sequence[RetentionRule], now: int) -> int:
        """Remove the finished jobs that nothing keeps: those whose own time is over, then those of the rules."""
        own: list[tuple[int, Job]] = []
        ruled: defaultdict[tuple[str, str, bool], list[Job]] = defaultdict(list)
        for job in sorted(self._jobs(*FINAL_STATES), key=_finished_at):
            keep = job.keep_completed if job.state is JobState.COMPLETED else job.keep_failed
            if keep is None:
                ruled[job.queue, job.kind, job.state is JobState.COMPLETED].append(job)
            elif _finished_at(job) + keep <= now:
                own.append((_finished_at(job) + keep, job))
        doomed = [job for _, job in sorted(own, key=lambda pair: pair[0])]
        for (queue, kind, _), jobs in ruled.items():
            if retention := rule_for(rules, queue, kind):
                doomed += _beyond(retention.keep(jobs[0].state), jobs, now)
        for job in doomed[:limit]:
            self._remove(job)
        return len(doomed[:limit])

    def _next_due_at(self) -> int | None:
        due = [job.run_at for job in self._jobs(*WAITING_STATES)]
        ends = [job.lease_until for job in self._jobs(JobState.RUNNING) if job.lease_until is not None]
        expiries = [job.expires_at for job in self._jobs(*WAITING) if job.expires_at is not None]
        openings = [gate.opens_at for gate in self._gates.values() if gate.opens_at is not None]
        return min(due + ends + expiries + openings, default=None)

    def wakeups(self, interest: frozenset[Wakeup] = frozenset(Wakeup)) -> AbstractAsyncContextManager[Heard]:
        """Listen for hints of the kinds of `interest`."""
        return self._hints.listen(interest)

    # LifecycleStore

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do: the jobs stay for as long as the object does."""

    async def migrate(self) -> tuple[int, int]:
        """Nothing to do."""
        return (1, 1)

    async def info(self) -> StoreInfo:
        """Version, schema, clock, capabilities."""
        return StoreInfo(
            name="memory",
            version=f"Python {sys.version.split()[0]}",
            schema=1,
            now=self._env.clock(),
            tx=False,
            listen=False,
            durability="Everything is lost when the process ends.",
        )

    def sibling(self) -> MemoryStore:
        """This store: any thread's loop may use it."""
        return self


def _last_life(job: Job) -> bool:
    return on_last_life(job.crashes, job.max_crashes, job.attempt, job.max_attempts)


def _finished_at(job: Job) -> int:
    return job.finished_at or 0


def _beyond(keep: Keep, jobs: list[Job], now: int) -> list[Job]:
    """Of jobs in the order of their end, those that are too many or too old."""
    too_many = 0 if keep.count is None else max(0, len(jobs) - keep.count)
    return [
        job
        for index, job in enumerate(jobs)
        if index < too_many or (keep.age is not None and _finished_at(job) + keep.age <= now)
    ]
