"""The admin side of the memory store: what people and dashboards ask."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from msgspec.structs import replace

from tidewheel._model.flow import CHILDREN
from tidewheel._model.job import History, Job
from tidewheel._model.query import Action, Altered, JobFilter, Page
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.state import JobState
from tidewheel._model.transition import alterable
from tidewheel._model.worker import Wakeup, WorkerRow
from tidewheel._store.memory_desk import MemoryDesk


class MemoryAdmin(MemoryDesk):
    """`AdminStore` over the rows."""

    async def get(self, ids: Sequence[str]) -> builtins.list[Job | None]:
        """The jobs, or None where there is none."""
        with self._atom(items=len(ids)):
            rows = [self._rows.get(job_id) for job_id in ids]
            return [None if row is None else row.job for row in rows]

    async def list(self, where: JobFilter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Jobs that match, newest enqueued first."""
        if not 1 <= limit <= 1000:
            raise ValueError(f"limit={limit} is not in 1..1000. Ask for smaller pages and follow `next`.")
        last = None if cursor is None else _place(cursor)
        with self._atom():
            found = [
                row
                for row in reversed(self._rows.values())
                if (last is None or row.place < last) and matches(where, row.job)
            ]
        more = len(found) > limit
        page = found[:limit]
        return Page(jobs=tuple(row.job for row in page), next=f"m{page[-1].place}" if more else None)

    async def history(self, job_id: str) -> History | None:
        """The job, its attempts that did not simply complete, and its log lines."""
        with self._atom():
            row = self._rows.get(job_id)
            return None if row is None else History(job=row.job, attempts=tuple(row.attempts), logs=tuple(row.logs))

    async def alter(
        self, ids: Sequence[str] | JobFilter, action: Action, *, limit: int = 1000, now: int | None = None
    ) -> builtins.list[Altered]:
        """Cancel, retry, run now or delete jobs."""
        if not isinstance(ids, JobFilter):
            with self._atom(now, len(ids)) as at:
                return [self._alter(job_id, action, at)[0] for job_id in ids]
        if ids.empty:
            raise ValueError(f"{action} with an empty filter would concern every job. Name a state, a queue or a kind.")
        answers: builtins.list[Altered] = []
        with self._atom(now) as at:
            for job in [row.job for row in self._rows.values() if matches(ids, row.job)]:
                if len(answers) == limit:
                    break
                answer, applied = self._alter(job.id, action, at)
                if applied:
                    answers.append(answer)
        return answers

    def _alter(self, job_id: str, action: Action, now: int) -> tuple[Altered, bool]:
        """The answer, and whether anything changed."""
        row = self._rows.get(job_id)
        if row is None:
            return Altered(job_id, None, None), False
        job = row.job
        refused = Altered(job_id, job.state, job.state), False
        if job.state not in alterable(action):
            return refused
        if action is Action.DELETE:
            self._give_up(job, now)
            self._remove(job)
            return Altered(job_id, job.state, None), True
        if action is Action.CANCEL and job.state is JobState.RUNNING:
            self._ask_to_stop(job)
            return Altered(job_id, job.state, job.state, cancel_requested=True), not job.cancel_requested
        if action is Action.CANCEL:
            return Altered(job_id, job.state, self._withdraw(job, now).state), True
        if action is Action.RUN_NOW:
            after = replace(job, state=JobState.AVAILABLE, run_at=now - job.lead)
        elif job.unique_key in self._holders:
            return refused
        else:
            fresh = replace(job, attempt=0, crashes=0, result=None, progress=None, error=None, finished_at=None)
            waits = self._waits(job_id)
            state = JobState.PARKED if waits else JobState.AVAILABLE
            run_at = now if waits else now - job.lead
            after = replace(fresh, expires_at=None, state=state, parked_by=CHILDREN if waits else None, run_at=run_at)
            self._reopen(job_id)
        self._put(after)
        return Altered(job_id, job.state, after.state), True

    async def put_queues(self, settings: Sequence[QueueSettings]) -> builtins.list[QueueSettings]:
        """Store settings, new or changed."""
        with self._atom(items=len(settings)):
            self._queues.update((queue.name, queue) for queue in settings)
            self._news.add(Wakeup.CONTROL)
            return [self._queues[queue.name] for queue in settings]

    async def queues(self) -> builtins.list[QueueStats]:
        """Every queue that has settings or jobs, by name, with counts."""
        with self._atom():
            jobs = [row.job for row in self._rows.values()]
            names = sorted({*self._queues, *(job.queue for job in jobs)})
            return [self._stats(name, [job for job in jobs if job.queue == name]) for name in names]

    def _stats(self, name: str, jobs: builtins.list[Job]) -> QueueStats:
        return QueueStats(
            name=name,
            paused=self._paused(name),
            counts={state: sum(job.state is state for job in jobs) for state in JobState},
            oldest_available=min((job.run_at for job in jobs if job.state is JobState.AVAILABLE), default=None),
        )

    async def workers(self) -> builtins.list[WorkerRow]:
        """The workers that beat and were not forgotten yet, by start time, then by id."""
        with self._atom():
            return sorted(self._workers.values(), key=lambda row: (row.info.started_at, row.info.id))


def matches(where: JobFilter, job: Job) -> bool:
    """Whether a job is among those the filter means."""
    texts = (job.id, job.kind, job.args, job.error.message if job.error else "")
    return (
        (not where.states or job.state in where.states)
        and (not where.queues or job.queue in where.queues)
        and (not where.kinds or job.kind in where.kinds)
        and (where.tag is None or where.tag in job.tags)
        and (where.text is None or any(where.text in text for text in texts))
        and (where.enqueued_after is None or job.enqueued_at >= where.enqueued_after)
        and (where.enqueued_before is None or job.enqueued_at < where.enqueued_before)
        and (where.finished_before is None or (job.finished_at is not None and job.finished_at < where.finished_before))
    )


def _place(cursor: str) -> int:
    if cursor[:1] != "m" or not cursor[1:].isdecimal():
        raise ValueError(
            f"{cursor!r} is no cursor of this store. Pass `next` of a page as it is, or None for the first."
        )
    return int(cursor[1:])
