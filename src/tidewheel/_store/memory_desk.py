"""The enqueue of the memory store: what a new job finds there, and what its rule and its backlog make of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

from msgspec.structs import replace

from tidewheel._env import Env
from tidewheel._model.desk import WAITING, Change, Holder, KeyRow, Verdict, judge, turn
from tidewheel._model.job import ErrorInfo, Job, NewJob
from tidewheel._model.query import Enqueued
from tidewheel._model.state import JobState
from tidewheel._model.transition import dropped_for, replaced_by
from tidewheel._model.worker import Wakeup
from tidewheel._store.memory_gates import MemoryGates


class MemoryDesk(MemoryGates):
    """Keys by name, each with the job that took it last."""

    _TABLES: ClassVar = ("_rows", "_holders", "_keys", "_edges")

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._keys: dict[str, KeyRow] = {}

    async def enqueue(self, jobs: Sequence[NewJob], *, now: int | None = None) -> list[Enqueued]:
        """Add jobs."""
        answers: list[Enqueued] = []
        answered: dict[str, str] = {}
        with self._atom(now, len(jobs)) as at, self._undone(when=any(job.after for job in jobs)):
            for job in jobs:
                answers.append(self._enqueue(job, answered, at))
                answered[job.id] = answers[-1].id
        return answers

    @contextmanager
    def _undone(self, *, when: bool) -> Iterator[None]:
        """Nothing of the call is in when one of its jobs waits for something that does not exist."""
        jobs = [(row, row.job) for row in self._rows.values()] if when else []
        before = {name: dict(vars(self)[name]) for name in self._TABLES} if when else {}
        gates = {key: replace(gate) for key, gate in self._gates.items()} if when else {}
        try:
            yield
        except ValueError:
            vars(self).update(before, _gates=gates)
            for row, job in jobs:
                row.job = job
            raise

    def _enqueue(self, new: NewJob, answered: Mapping[str, str], now: int) -> Enqueued:
        """Decides first, acts then: a job that is refused has changed nothing."""
        if existing := self._clash(new):
            return Enqueued(existing.id, inserted=False, state=existing.state)
        verdict = self._verdict(new, now)
        row = self._keys.get(new.rule.key) if new.rule else None
        holder = self._job(row.job_id) if row else None
        if row and not verdict.insert:
            return self._refused(new, row, holder, verdict, now)
        leaves = holder if verdict.cancel else None
        too_many = self._too_many(new, leaves)
        if too_many and new.backlog and not new.backlog.drop_oldest:
            return Enqueued(new.id, inserted=False, did="full")
        if leaves:
            self._stop(leaves, replaced_by(new.id), now)
        for job in too_many:
            self._withdraw(job, now, dropped_for(new.id, new.backlog) if new.backlog else None)
        self._insert(new, now)
        if new.after:
            self._bind(new, answered, now)
        self._line_up(new, now)
        if new.rule and verdict.row:
            self._keys[new.rule.key] = verdict.row
        gone = [job.id for job in (leaves, *too_many) if job]
        cancelled = gone[0] if gone else None
        return Enqueued(
            new.id, inserted=True, cancelled=cancelled, remaining=verdict.remaining, reset_at=verdict.reset_at
        )

    def _clash(self, new: NewJob) -> Job | None:
        """The job with its id; else the live one that has its unique key."""
        if job := self._job(new.id):
            return job
        return self._job(self._holders.get(new.unique_key, "")) if new.unique_key is not None else None

    def _job(self, job_id: str) -> Job | None:
        row = self._rows.get(job_id)
        return row.job if row else None

    def _verdict(self, new: NewJob, now: int) -> Verdict:
        if new.rule is None:
            return Verdict(insert=True)
        row = self._keys.get(new.rule.key)
        job = self._job(row.job_id) if row else None
        holder = Holder(job.state, job.flow, job.parked_by, job.expires_at) if job else None
        return judge(new.rule, new, row, holder, now)

    def _refused(self, new: NewJob, row: KeyRow, holder: Job | None, verdict: Verdict, now: int) -> Enqueued:
        """The answer to a job whose key is held. It may have changed the one that holds it."""
        if holder and verdict.change:
            holder = self._changed(holder, new, verdict.change, now)
        return Enqueued(
            row.job_id,
            inserted=False,
            state=holder.state if holder else None,
            did="dropped" if verdict.dropped else "replaced" if verdict.change else "",
            remaining=verdict.remaining,
            reset_at=verdict.reset_at,
        )

    def _changed(self, job: Job, new: NewJob, change: Change, now: int) -> Job:
        after = replace(
            job,
            state=change.state,
            run_at=job.run_at if change.run_at is None else change.run_at,
            priority=change.priority or job.priority,
            meta=change.meta or job.meta,
            tags=job.tags if change.tags is None else change.tags,
        )
        if change.args is not None:
            expires_at = None if new.expires_in is None else now + new.expires_in
            after = replace(after, args=change.args, flow=change.flow, expires_at=expires_at)
            self._leave(job, now, change.flow)
        if after.state is JobState.AVAILABLE and change.run_at is not None:
            after = replace(after, run_at=after.run_at - after.lead)
        self._put(after)
        later = after.run_at != job.run_at and after.state is not JobState.AVAILABLE
        if later or (after.expires_at is not None and after.expires_at != job.expires_at):
            self._news.add(Wakeup.DUE)
        return after

    def _stop(self, job: Job, error: ErrorInfo, now: int) -> None:
        if job.state is JobState.RUNNING:
            self._ask_to_stop(job)
        else:
            self._withdraw(job, now, error)

    def _too_many(self, new: NewJob, leaves: Job | None) -> list[Job]:
        """Those of its backlog, the first enqueued first, that would have to go for it to come in."""
        if new.backlog is None:
            return []
        waiting = [job for job in self._jobs(*WAITING) if job.backlog == new.backlog.key and job != leaves]
        return waiting[: max(0, len(waiting) + 1 - new.backlog.most)]

    def _line_up(self, new: NewJob, now: int) -> None:
        """Give a new job that may run at once its place in the line."""
        job = self._rows[new.id].job
        if job.state is not JobState.AVAILABLE:
            return
        if new.fair is None or new.lifo:
            self._put(replace(job, run_at=job.run_at - job.lead))
            return
        line = (other for other in self._jobs(JobState.AVAILABLE) if other is not job and _line(other) == _line(job))
        ahead = [other.run_at for other in line]
        place, self._keys[new.fair.key] = turn(
            new, new.fair, self._keys.get(new.fair.key), min(ahead, default=None), now
        )
        self._put(replace(job, run_at=place))

    def _tidy_keys(self, now: int) -> None:
        """Forget the keys that nothing can hold any more. While its job is there, a retry may bring it back."""
        for key in [key for key, row in self._keys.items() if row.until <= now and row.job_id not in self._rows]:
            del self._keys[key]


def _line(job: Job) -> tuple[str, int, bool]:
    """The line in which it waits for its turn."""
    return job.queue, job.priority, job.lifo
