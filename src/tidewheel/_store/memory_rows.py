"""The rows of the memory store and the few ways in which they change."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from tidewheel._env import Env
from tidewheel._model.desk import due_at
from tidewheel._model.job import AttemptRecord, Job, LogLine, NewJob, stored_flow
from tidewheel._model.queue import QueueSettings
from tidewheel._model.state import JobState
from tidewheel._model.transition import Ending, on_dead_job, wakeup_for
from tidewheel._model.worker import Wakeup, WorkerRow
from tidewheel._store.base import LOG_LINES, check_batch
from tidewheel._store.hints import Hints


@dataclass(slots=True)
class Row:
    """A job, its place in the order of the enqueue, and its past, which goes when it goes."""

    place: int
    job: Job
    attempts: list[AttemptRecord] = field(default_factory=list)
    logs: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LOG_LINES))


class MemoryRows:
    """Jobs in the order of their enqueue, queue settings and workers, behind one lock."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._places = 0
        self._holders: dict[str, str] = {}
        self._queues: dict[str, QueueSettings] = {}
        self._workers: dict[str, WorkerRow] = {}
        self._hints = Hints()
        self._news: set[Wakeup] = set()
        self._ended: dict[str, Job] = {}

    @contextmanager
    def _atom(self, now: int | None = None, items: int = 0) -> Iterator[int]:
        """One call: alone with the rows, at one moment. What it hints is rung at its end."""
        check_batch(items)
        with self._lock:
            self._news, self._ended = set(), {}
            yield self._env.clock() if now is None else now
            news = self._news
        self._hints.ring(news)

    def _jobs(self, *states: JobState) -> list[Job]:
        """The jobs in these states, in the order of the enqueue."""
        return [row.job for row in self._rows.values() if row.job.state in states]

    def _put(self, job: Job) -> None:
        """Write a job, new or changed, keep the holders of unique keys, and hint where it has come to."""
        row = self._rows.get(job.id)
        before = None if row is None else row.job.state
        if row is None:
            self._places += 1
            self._rows[job.id] = Row(self._places, job)
        else:
            row.job = job
        if job.unique_key is not None:
            if not job.state.final:
                self._holders[job.unique_key] = job.id
            elif self._holders.get(job.unique_key) == job.id:
                del self._holders[job.unique_key]
        if job.state.final and (before is None or not before.final):
            self._ended[job.id] = job
        if job.state is not before and (hint := wakeup_for(job.state)):
            self._news.add(hint)

    def _insert(self, new: NewJob, now: int) -> None:
        run_at = due_at(new, now)
        job = Job(
            id=new.id,
            kind=new.kind,
            queue=new.queue,
            state=JobState.SCHEDULED if run_at > now else JobState.AVAILABLE,
            args=new.args,
            priority=new.priority,
            run_at=run_at,
            lifo=new.lifo,
            attempt=0,
            max_attempts=new.max_attempts,
            epoch=0,
            crashes=0,
            max_crashes=new.max_crashes,
            enqueued_at=now,
            unique_key=new.unique_key,
            tags=new.tags,
            meta=new.meta,
            options=new.options,
            keep_completed=new.keep_completed,
            keep_failed=new.keep_failed,
            on_dead=new.on_dead,
            flow=stored_flow(new),
            expires_at=None if new.expires_in is None else now + new.expires_in,
            backlog=new.backlog.key if new.backlog else None,
            lead=new.lead,
        )
        self._put(job)
        if job.expires_at is not None:
            self._news.add(Wakeup.DUE)

    def _ask_to_stop(self, job: Job) -> None:
        """Its worker hears of it by its next beat."""
        self._put(replace(job, cancel_requested=True))
        self._news.add(Wakeup.CONTROL)

    def _remove(self, job: Job) -> None:
        """Take a job and its past away."""
        del self._rows[job.id]
        if self._holders.get(job.unique_key or "") == job.id:
            del self._holders[job.unique_key or ""]
        if not job.state.final:
            self._ended[job.id] = replace(job, state=JobState.CANCELLED, result=None, error=None)

    def _turn(self, job: Job) -> tuple[int, bool, int, int]:
        """Its place in line: smaller is sooner."""
        place = self._rows[job.id].place
        if job.lifo:
            return (job.priority, False, -job.run_at, -place)
        return (job.priority, True, job.run_at, place)

    def _paused(self, queue: str) -> bool:
        return queue in self._queues and self._queues[queue].paused

    def _end(self, job: Job, ending: Ending, now: int) -> Job:
        """End an attempt: the row, its attempt record, and the job that tells of a dead letter."""
        ended = replace(
            job,
            state=ending.state,
            attempt=ending.attempt,
            run_at=ending.run_at,
            finished_at=now if ending.state.final else None,
            lease_until=None,
            cancel_requested=False,
            result=ending.result if ending.result is not None else job.result,
            error=ending.error or job.error,
        )
        self._put(ended)
        if ending.record is not None:
            record = AttemptRecord(
                job_id=job.id,
                epoch=job.epoch,
                attempt=job.attempt,
                worker=job.worker,
                started_at=job.started_at if job.started_at is not None else now,
                ended_at=now,
                outcome=ending.record,
                error=ending.record_error,
            )
            self._rows[job.id].attempts.append(record)
        if ended.state is JobState.DISCARDED:
            self._tell_of_dead(job, now)
        return ended

    def _tell_of_dead(self, job: Job, now: int) -> None:
        if job.on_dead is not None:
            self._insert(on_dead_job(new_id=self._env.ids(), kind=job.on_dead, dead_id=job.id, queue=job.queue), now)
