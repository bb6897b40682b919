"""What the tests of graphs share."""

from __future__ import annotations

from typing import Any

from tidewheel._model.after import After, OnFailure
from tidewheel._model.flow import CHILDREN
from tidewheel._model.graph import Edge
from tidewheel._model.job import ErrorInfo, NewJob
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import BOOM, Kit

DONE = Complete('"done"')
FAILED: dict[str, Outcome] = {"discarded": Discarded(BOOM), "cancelled": Cancelled("not needed")}
MODES: tuple[OnFailure, ...] = ("fail", "continue", "ignore", "remove")


def after(*ids: str, on_failure: OnFailure = "fail") -> tuple[After, ...]:
    return tuple(After(job_id, on_failure) for job_id in ids)


def parent_of(kit: Kit, *ids: str, on_failure: OnFailure = "fail", **changes: Any) -> NewJob:
    """A job that waits for others, in a queue of its own."""
    return kit.new(**{"after": after(*ids, on_failure=on_failure), "queue": "parents", **changes})


async def put_parent(kit: Kit, *ids: str, on_failure: OnFailure = "fail", **changes: Any) -> str:
    """Enqueue one; gives its id."""
    (answer,) = await kit.enqueue(parent_of(kit, *ids, on_failure=on_failure, **changes))
    assert answer.inserted
    return answer.id


async def end(kit: Kit, *outcomes: Outcome) -> list[str]:
    """Claim as many jobs as there are outcomes and let them end so, one call each; gives their ids."""
    claimed = await kit.claim(len(outcomes))
    assert len(claimed) == len(outcomes)
    for job, outcome in zip(claimed, outcomes, strict=True):
        await kit.settle(job.lease, outcome)
    return [job.id for job in claimed]


async def waits(kit: Kit, job_id: str) -> bool:
    """Whether a job waits for its children."""
    row = await kit.row(job_id)
    assert (row.parked_by == CHILDREN) is (row.state is JobState.PARKED)
    return row.state is JobState.PARKED


async def edges(kit: Kit, *ids: str) -> list[Edge]:
    return await kit.store.edges(ids)


def child_was(state: str, child: str, error: ErrorInfo | None = None) -> ErrorInfo:
    """Why a parent was given up."""
    said = f": {error.type}: {error.message}" if error else ""
    return ErrorInfo("tidewheel.ChildFailed", f"It waited for {child}, which was {state}{said}")
