"""What is known of a job and of what may be in its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tidewheel._model.duration import SECOND
from tidewheel._model.flow import Pass
from tidewheel._model.graph import Edge
from tidewheel._model.job import Job, on_last_life
from tidewheel._model.limit import GateRow
from tidewheel._model.state import JobState
from tidewheel._model.worker import WorkerRow

SILENT: Final = 90 * SECOND
"""A worker that was not heard of for so long does not count as alive: three times the default lease, after which a sweep
forgets it, too.
"""
HOLDERS: Final = 100
"""An answer names at most so many jobs."""


class GateFact(msgspec.Struct, frozen=True):
    """A gate the job must pass, as it stands now."""

    one: Pass
    row: GateRow
    paused_by: str = ""
    """The limit, or the gate, whose rule says that it is paused."""
    mine: bool = False
    """The job itself has the place at this gate, which has an order."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job and of what may be in its way. What cannot matter may be missing."""

    job: Job
    now: int
    """The store's clock."""
    children: tuple[Edge, ...] = ()
    """The jobs it waits for, or waited, in the order in which they were named."""
    states: Mapping[str, JobState] = {}
    """How the first of them that have not ended stand, by id, and so whoever has the place at its gates."""
    gates: tuple[GateFact, ...] = ()
    """The one that parked it first, then the others in the order of its flow."""
    queue_paused: bool = False
    task_paused: bool = False
    workers: tuple[WorkerRow, ...] = ()
    """All that the store knows, by start time."""
    running: tuple[Job, ...] = ()
    """Jobs that run, newest enqueued first."""
    all_running: bool = True
    """There are no others."""
    ahead: tuple[str, ...] = ()
    """Ids of the jobs before it, those first that are taken first."""
    more_ahead: bool = False
    """The line has jobs that were not looked at."""

    @property
    def live(self) -> tuple[WorkerRow, ...]:
        """The workers that were heard of lately."""
        return tuple(one for one in self.workers if one.seen_at > self.now - SILENT)

    @property
    def able(self) -> tuple[WorkerRow, ...]:
        """Those of them that could take the job."""
        job = self.job
        return tuple(one for one in self.live if job.queue in one.info.queues and job.kind in one.info.kinds)


def suspect(job: Job) -> bool:
    """Whether the job is, or waits to be, in what may be its last life."""
    attempt = job.attempt - 1 if job.state is JobState.RUNNING else job.attempt
    return on_last_life(job.crashes, job.max_crashes, attempt, job.max_attempts)
