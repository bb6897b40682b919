"""A handle on one job: what `enqueue` gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import msgspec

from tidewheel._facts import explain
from tidewheel._graphs import Child, children_of
from tidewheel._model.duration import Span
from tidewheel._model.errors import JobCancelled, JobFailed, JobNotFound
from tidewheel._model.job import History, Job, LogLine
from tidewheel._model.query import Action, Enqueued
from tidewheel._model.state import JobState
from tidewheel._why import Why

if TYPE_CHECKING:
    from tidewheel._app import App

R = TypeVar("R")


class JobHandle(msgspec.Struct, Generic[R], frozen=True, eq=False, gc=False):
    """One job, by its id. Every question goes to the store; nothing is cached."""

    _app: App
    id: str
    kind: str
    queue: str
    created: bool
    """False when no job came of the enqueue: this is the one that was there already; see `did`."""
    _answer: Enqueued | None = None

    def __repr__(self) -> str:
        return f"<JobHandle {self.kind} {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def did(self) -> Literal["created", "existing", "replaced", "dropped", "full"]:
        """What the enqueue did. "created": a new job. "existing": nothing, for this job has its id or its key. "replaced":
        this job, which waits, took over what the new one said. "dropped": nothing, its `Throttle` lets no more in; this is
        the last one it let in. "full": nothing, as many wait as may, and the job with this id does not exist.
        """
        if self.created or self._answer is None:
            return "created" if self.created else "existing"
        return self._answer.did or "existing"

    @property
    def cancelled(self) -> str | None:
        """Id of the job that was cancelled, or asked to stop, to make room for this one."""
        return self._answer.cancelled if self._answer else None

    @property
    def remaining(self) -> int | None:
        """With a `Throttle`: how many more its window lets in; else None."""
        return self._answer.remaining if self._answer else None

    @property
    def reset_at(self) -> int | None:
        """With a `Throttle`: when its next window may begin, in microseconds since 1970; else None."""
        return self._answer.reset_at if self._answer else None

    async def info(self) -> Job:
        """The job's row as it is now.

        Raises:
            JobNotFound: the job was pruned or deleted.
        """
        store = await self._app.opened()
        (job,) = await store.get([self.id])
        if job is None:
            raise self._gone()
        return job

    async def state(self) -> JobState:
        """Where the job stands. Raises JobNotFound."""
        return (await self.info()).state

    async def why(self) -> Why:
        """Why it does not run now, or how it does: the first reason that applies. For people: it asks the store
        several times, and beside many ended jobs that takes a while. Raises JobNotFound.
        """
        answer = await explain(await self._app.opened(), self.id)
        if answer is None:
            raise self._gone()
        return answer

    async def progress(self) -> Any:
        """What the handler reported last, or None. Raises JobNotFound."""
        progress = (await self.info()).progress
        return None if progress is None else msgspec.json.decode(progress)

    async def history(self) -> History:
        """The job, its attempts and its log lines. Raises JobNotFound."""
        store = await self._app.opened()
        history = await store.history(self.id)
        if history is None:
            raise self._gone()
        return history

    async def logs(self) -> tuple[LogLine, ...]:
        """The log lines, oldest first (the newest 1000 are kept). Raises JobNotFound."""
        return (await self.history()).logs

    async def children(self) -> tuple[Child, ...]:
        """The jobs that it waits for, or waited, with their results, in the order in which they were named."""
        return await children_of(await self._app.opened(), self.id)

    async def result(self, timeout: Span | None = None) -> R:
        """Wait for the job to end and give back what its handler returned, as its return type.

        Args:
            timeout: how long to wait (seconds, or "1m"); None waits for ever.

        Raises:
            ResultTimeout: it has not ended by then; it goes on.
            JobFailed: it was given up; the error and its stack are in the exception.
            JobCancelled: it was cancelled, by somebody or by a rule of its task; it says which.
            JobNotFound: it was deleted, or pruned before anybody asked.
            DecodeError: the stored result does not fit the return type.
        """
        job = await self._app.ended(self.id, self.kind, timeout)
        if job.state is JobState.COMPLETED:
            task = self._app.tasks.get(job.kind)
            text = job.result or "null"
            return cast("R", task.codec.decode_result(text) if task else msgspec.json.decode(text))
        error = job.error
        if job.state is JobState.CANCELLED:
            ours = error if error is not None and error.type.startswith("tidewheel.") else None
            reason = f" ({ours.type}: {ours.message})" if ours else ""
            raise JobCancelled(f"The job {self.id} ({self.kind}) was cancelled{reason}.")
        if error is None:
            raise JobFailed(f"The job {self.id} ({self.kind}) was given up.")
        raise JobFailed(
            f"The job {self.id} ({self.kind}) failed in attempt {job.attempt}: {error.type}: {error.message}",
            error_type=error.type,
            traceback=error.traceback,
        )

    async def cancel(self) -> bool:
        """Cancel it: at once while it waits; a running one is asked to stop. False when it has ended already."""
        return await self._alter(Action.CANCEL)

    async def retry(self) -> bool:
        """Run an ended job again, with fresh attempts. False when it has not ended, or its unique key is taken."""
        return await self._alter(Action.RETRY)

    async def promote(self) -> bool:
        """Run it now rather than at its time. False when it was not waiting for one."""
        return await self._alter(Action.RUN_NOW)

    async def delete(self) -> bool:
        """Remove it with its history. False while it runs (cancel it first), or when it is gone already."""
        return await self._alter(Action.DELETE)

    def _gone(self) -> JobNotFound:
        return JobNotFound(f"There is no job {self.id} ({self.kind}): it was deleted, or pruned by its retention.")

    async def _alter(self, action: Action) -> bool:
        store = await self._app.opened()
        (answer,) = await store.alter([self.id], action)
        return answer.before != answer.after or answer.cancel_requested
