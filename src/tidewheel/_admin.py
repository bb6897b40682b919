"""The admin side of an app: `app.jobs`, `app.queues`, `app.dead_letters`, `app.workers`."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidewheel._facts import explain
from tidewheel._graphs import Child, cancel_graph, children_of, retry_graph
from tidewheel._handle import JobHandle
from tidewheel._model.duration import Span, micros
from tidewheel._model.job import ErrorInfo, History, Job
from tidewheel._model.query import Action, Altered, JobFilter, Page
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.state import JobState
from tidewheel._model.worker import WorkerRow
from tidewheel._names import check_name
from tidewheel._why import Why

if TYPE_CHECKING:
    from tidewheel._app import App

_ROUND = 1000


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was given up, with everything needed to understand it."""

    id: str
    kind: str
    queue: str
    args: Any
    """The arguments by parameter name."""
    error: ErrorInfo
    attempts: int
    """Attempts made."""
    crashes: int
    """Workers lost while running it."""
    enqueued_at: int
    failed_at: int
    """Microseconds since 1970."""

    @classmethod
    def of(cls, job: Job) -> DeadLetter:
        """The dead letter that a discarded job is."""
        return cls(
            id=job.id,
            kind=job.kind,
            queue=job.queue,
            args=_payload(job),
            error=job.error or ErrorInfo("tidewheel.Unknown", "No error was kept."),
            attempts=job.attempt,
            crashes=job.crashes,
            enqueued_at=job.enqueued_at,
            failed_at=job.finished_at or 0,
        )


def _payload(job: Job) -> Any:
    """The arguments; as the text they are when that is no JSON: it may be why the job was given up."""
    try:
        return job.payload
    except msgspec.MsgspecError:
        return job.args


class Jobs:
    """Finding and altering jobs. Whatever takes a filter refuses an empty one (ValueError)."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def get(self, job_id: str) -> JobHandle[Any] | None:
        """A handle on a job, or None when there is none."""
        job = await self.info(job_id)
        return None if job is None else JobHandle(self._app, job.id, job.kind, job.queue, created=False)

    async def info(self, job_id: str) -> Job | None:
        """The row of a job, or None when there is none."""
        (job,) = await (await self._app.opened()).get([_id(job_id)])
        return job

    async def list(self, where: JobFilter | None = None, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Jobs that match, newest enqueued first; at most `limit` (1 to 1000), from `cursor` on."""
        return await (await self._app.opened()).list(where or JobFilter(), limit=limit, cursor=cursor)

    async def history(self, job_id: str) -> History | None:
        """A job with its attempts and log lines, or None."""
        return await (await self._app.opened()).history(_id(job_id))

    async def why(self, job_id: str) -> Why | None:
        """Why a job does not run now, or how it does; None when there is none. See `JobHandle.why`."""
        return await explain(await self._app.opened(), _id(job_id))

    async def children(self, job_id: str) -> tuple[Child, ...]:
        """The jobs that a job waits for, or waited, with their results; none when it has none, or is gone."""
        return await children_of(await self._app.opened(), _id(job_id))

    async def cancel_graph(self, job_id: str) -> builtins.list[Altered]:
        """Cancel a job and all jobs that it waits for, those these wait for, and so on. What other jobs wait for, too,
        goes on. A process that dies in the middle leaves the rest, for a second call.

        Raises:
            JobNotFound: there is no such job.
        """
        return await cancel_graph(await self._app.opened(), _id(job_id))

    async def retry_graph(self, job_id: str) -> builtins.list[Altered]:
        """Run again, with fresh attempts, what was cancelled or given up of a job and of all jobs that it waits for. Jobs
        wait again for their children that run again; what has completed is not done twice.

        Raises:
            JobNotFound: there is no such job, or one that would have to run again is gone. Nothing was changed.
        """
        return await retry_graph(await self._app.opened(), _id(job_id))

    async def cancel(self, which: Sequence[str] | JobFilter) -> builtins.list[Altered]:
        """End waiting jobs, ask running ones to stop."""
        return await self.alter(which, Action.CANCEL)

    async def retry(self, which: Sequence[str] | JobFilter) -> builtins.list[Altered]:
        """Run ended jobs again with fresh attempts."""
        return await self.alter(which, Action.RETRY)

    async def promote(self, which: Sequence[str] | JobFilter) -> builtins.list[Altered]:
        """Run scheduled or retryable jobs now."""
        return await self.alter(which, Action.RUN_NOW)

    async def delete(self, which: Sequence[str] | JobFilter) -> builtins.list[Altered]:
        """Remove jobs with their history; running ones stay."""
        return await self.alter(which, Action.DELETE)

    async def alter(self, which: Sequence[str] | JobFilter, action: Action) -> builtins.list[Altered]:
        """Do `action` to all these jobs, in bounded rounds; what one round did stays done when the next fails."""
        store = await self._app.opened()
        if not isinstance(which, JobFilter):
            ids = _ids(which)
            answers = []
            for start in range(0, len(ids), _ROUND):
                answers += await store.alter(ids[start : start + _ROUND], action)
            return answers
        done: builtins.list[Altered] = []
        seen: set[str] = set()
        while True:
            some = await store.alter(which, action, limit=_ROUND)
            fresh = [one for one in some if one.id not in seen]
            done += fresh
            seen.update(one.id for one in fresh)
            if not fresh or len(some) < _ROUND:
                return done


class Queues:
    """Queues by name. A queue exists as soon as a job or a setting names it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self) -> builtins.list[QueueStats]:
        """Every queue with its counts."""
        return await (await self._app.opened()).queues()

    async def pause(self, name: str) -> None:
        """Hand out no more jobs of the queue; running ones end normally. Raises ValueError for a bad name."""
        await (await self._app.opened()).put_queues([QueueSettings(name=check_name(name, "a queue name"), paused=True)])

    async def resume(self, name: str) -> None:
        """Hand out its jobs again. Raises ValueError for a bad name."""
        await (await self._app.opened()).put_queues([QueueSettings(name=check_name(name, "a queue name"))])

    async def clean(
        self, name: str, *, grace: Span = 0, limit: int = 1000, state: JobState = JobState.COMPLETED
    ) -> int:
        """Remove at most `limit` jobs that ended in `state` more than `grace` ago, oldest enqueued first;
        gives their number.

        Raises:
            ValueError: `state` is not final.
        """
        if not state.final:
            raise ValueError(f"clean() removes ended jobs; {state} is no final state. drain() removes waiting ones.")
        store = await self._app.opened()
        before = (await store.info()).now - micros(grace)
        where = JobFilter(queues=(name,), states=(state,), finished_before=before + 1)
        return len(await store.alter(where, Action.DELETE, limit=limit))

    async def drain(self, name: str, *, scheduled: bool = False) -> int:
        """Remove the jobs that wait in the queue, or for a limit, with `scheduled=True` those that wait for their time, too."""
        states = [JobState.AVAILABLE, JobState.PARKED, *([JobState.SCHEDULED, JobState.RETRYABLE] if scheduled else [])]
        return len(await self._app.jobs.delete(JobFilter(queues=(name,), states=tuple(states))))

    async def empty(self, name: str) -> int:
        """Remove every job of the queue that is not running."""
        return len(await self._app.jobs.delete(JobFilter(queues=(name,))))


class DeadLetters:
    """Jobs that were given up."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def get(self, job_id: str) -> DeadLetter | None:
        """The dead letter of this id, or None."""
        job = await self._app.jobs.info(job_id)
        return None if job is None or job.state is not JobState.DISCARDED else DeadLetter.of(job)

    async def list(self, where: JobFilter | None = None, *, limit: int = 50) -> builtins.list[DeadLetter]:
        """Dead letters that match, newest enqueued first."""
        page = await self._app.jobs.list(_dead(where), limit=limit)
        return [DeadLetter.of(job) for job in page.jobs]

    async def requeue(self, which: Sequence[str] | JobFilter | None = None) -> int:
        """Run them again with fresh attempts (None: all of them); gives how many."""
        answers = await self._app.jobs.retry(await self._chosen(which))
        return sum(one.before is JobState.DISCARDED and one.after is not JobState.DISCARDED for one in answers)

    async def purge(self, which: Sequence[str] | JobFilter | None = None, *, older_than: Span | None = None) -> int:
        """Remove them for good (None: all), or only those given up longer than `older_than` ago; gives how many."""
        before = None
        if older_than is not None:
            before = (await (await self._app.opened()).info()).now - micros(older_than)
        chosen = await self._chosen(which, before)
        return sum(one.after is None for one in await self._app.jobs.delete(chosen))

    async def _chosen(
        self, which: Sequence[str] | JobFilter | None, before: int | None = None
    ) -> builtins.list[str] | JobFilter:
        """Only dead letters, given up before a moment, whatever else the ids or the filter name."""
        if which is None or isinstance(which, JobFilter):
            where = _dead(which)
            return where if before is None else msgspec.structs.replace(where, finished_before=before)
        store, ids = await self._app.opened(), _ids(which)
        jobs: builtins.list[Job | None] = []
        for start in range(0, len(ids), _ROUND):
            jobs += await store.get(ids[start : start + _ROUND])
        return [
            job.id
            for job in jobs
            if job is not None
            and job.state is JobState.DISCARDED
            and (before is None or (job.finished_at is not None and job.finished_at < before))
        ]


def _ids(which: Sequence[str]) -> builtins.list[str]:
    if isinstance(which, str):  # or every letter would be taken for an id
        raise TypeError(f"{which!r} is one text. Give a list of ids: [{which!r}].")
    return [_id(one) for one in which]


def _id(job_id: object) -> str:
    if not isinstance(job_id, str):
        raise TypeError(f"{job_id!r} is no job id. Give its text: that of a handle is handle.id.")
    return job_id


def _dead(where: JobFilter | None) -> JobFilter:
    return msgspec.structs.replace(where or JobFilter(), states=(JobState.DISCARDED,))


class Workers:
    """The workers on this store."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self) -> builtins.list[WorkerRow]:
        """The workers that were heard of lately."""
        return await (await self._app.opened()).workers()
