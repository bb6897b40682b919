"""Graphs: what is known of the children of a job, and what their ends mean for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from tidewheel._model.after import OnFailure
from tidewheel._model.job import ErrorInfo
from tidewheel._model.state import JobState


class Edge(msgspec.Struct, frozen=True, gc=False):
    """A child of a job, and how it ended. It stays until the parent goes, also when the child is gone."""

    parent: str
    child: str
    on_failure: OnFailure = "fail"
    state: JobState | None = None
    """How the child ended; None: it has not, or it was retried and runs again."""
    result: str | None = None
    """JSON text of what its handler returned."""
    error: ErrorInfo | None = None
    place: int = 0
    """Its number among the children of its parent, in the order in which they were named."""


CHILD_FAILED: Final = "tidewheel.ChildFailed"


def child_failed(child: str, state: JobState, error: ErrorInfo | None) -> ErrorInfo:
    """Why a parent is given up: the first job that failed, and its error. Who is given up hands that on as it is, so it is as
    short at the end of a long chain as at its beginning.
    """
    if error is not None and error.type == CHILD_FAILED:
        return error
    said = f": {error.type}: {error.message}" if error else ""
    return ErrorInfo(CHILD_FAILED, f"It waited for {child}, which was {state.value}{said}")


def ended_edge(edge: Edge, state: JobState, result: str | None, error: ErrorInfo | None) -> Edge | None:
    """An edge when its child has ended; None: it is forgotten. `error`: the row's, which one that completed may have, too."""
    failed = state is not JobState.COMPLETED
    if failed and edge.on_failure == "remove":
        return None
    return replace(edge, state=state, result=result, error=error if failed else None)


def gives_up(ended: Iterable[Edge]) -> ErrorInfo | None:
    """Why a parent is given up when these children have just ended, or None."""
    for edge in sorted(ended, key=lambda edge: edge.place):
        if edge.on_failure == "fail" and edge.state not in (None, JobState.COMPLETED):
            return child_failed(edge.child, edge.state, edge.error)
    return None


def goes_on(ended: Iterable[Edge]) -> bool:
    """Whether a parent starts without waiting for the others, now that these children have ended."""
    return any(edge.on_failure == "continue" and edge.state is not JobState.COMPLETED for edge in ended)
