"""Graphs of jobs in a store: the children of a job with their results, and what is done to a job and all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidewheel._model.after import OnFailure
from tidewheel._model.errors import JobNotFound
from tidewheel._model.job import ErrorInfo, Job
from tidewheel._model.query import Action, Altered
from tidewheel._model.state import JobState

if TYPE_CHECKING:
    from tidewheel._model.graph import Edge
    from tidewheel._store.base import Store

_ROUND = 1000


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A job that another one waits for, or waited. It is known until its parent goes, also when it is gone itself."""

    id: str
    on_failure: OnFailure
    """What it means for the parent when the child is cancelled or given up."""
    state: JobState | None = None
    """How it ended: completed, cancelled (deleted, too) or discarded; None while it has not."""
    result: Any = None
    """What its handler returned, as plain JSON."""
    error: ErrorInfo | None = None
    """Why it did not complete."""

    @property
    def completed(self) -> bool:
        """Whether it has a result."""
        return self.state is JobState.COMPLETED


async def children_of(store: Store, job_id: str) -> tuple[Child, ...]:
    """The children of a job, in the order in which they were named."""
    return tuple(_child(one) for one in await store.edges([job_id]) if one.parent == job_id)


def _child(edge: Edge) -> Child:
    return Child(
        id=edge.child,
        on_failure=edge.on_failure,
        state=edge.state,
        result=None if edge.result is None else msgspec.json.decode(edge.result),
        error=edge.error,
    )


async def cancel_graph(store: Store, job_id: str) -> list[Altered]:
    """Cancel a job and all that it waits for, but for what others wait for, too. Those that wait go first, so that none
    of them is given up for a child that ends.

    Raises:
        JobNotFound: there is no such job.
    """
    (root,) = await store.get([job_id])
    if root is None:
        raise JobNotFound(f"There is no job {job_id}: it was deleted, or pruned by its retention.")
    graph = await _below(store, job_id)
    answers: list[Altered] = []
    ours: set[str] = set()
    for level in graph.levels():
        mine = [one for one in level if one == job_id or graph.parents[one] <= ours]
        ours.update(mine)
        answers += await _alter(store, mine, Action.CANCEL)
    return answers


async def retry_graph(store: Store, job_id: str) -> list[Altered]:
    """Run again what was cancelled or given up of a job and all that it waits for. The children come first: those that
    wait for them wait again. What has completed is not done twice.

    Raises:
        JobNotFound: there is no such job, or one that would have to run again is gone. Nothing was changed.
    """
    graph = await _below(store, job_id)
    levels = list(graph.levels())
    jobs = await _jobs(store, [one for level in levels for one in level])
    if jobs[job_id] is None:
        raise JobNotFound(f"There is no job {job_id}: it was deleted, or pruned by its retention.")
    gone = sorted(one for one in graph.failed if jobs[one] is None)
    if gone:
        raise JobNotFound(
            f"The job {gone[0]} would have to run again, and it is gone: it was deleted, or pruned by its retention. Retry "
            f"the jobs that can do without it by themselves: app.jobs.retry(['{job_id}'])."
        )
    answers: list[Altered] = []
    for level in reversed(levels):
        ended = [one for one in level if _failed(jobs[one])]
        answers += await _alter(store, ended, Action.RETRY)
    return answers


class _Graph:
    """A job and all that it waits for."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.children: dict[str, dict[str, None]] = {root: {}}
        """In their order, each once."""
        self.parents: dict[str, set[str]] = {root: set()}
        """Of the children, also those outside."""
        self.failed: set[str] = set()
        """Children that did not complete."""

    def levels(self) -> Iterator[list[str]]:
        """The jobs in steps, so that each stands behind all of the graph that wait for it."""
        waits = {one: len(self.parents[one] & self.children.keys()) for one in self.children}
        waits[self.root] = 0
        level = [self.root]
        while level:
            yield level
            below: list[str] = []
            for one in level:
                for child in self.children[one]:
                    waits[child] -= 1
                    if not waits[child]:
                        below.append(child)
            level = below


async def _below(store: Store, root: str) -> _Graph:
    graph = _Graph(root)
    todo = [root]
    while todo:
        some, todo = todo[:_ROUND], todo[_ROUND:]
        for edge in await store.edges(some):
            graph.parents.setdefault(edge.child, set()).add(edge.parent)
            if edge.parent not in graph.children or edge.child in graph.children[edge.parent]:
                continue  # a parent outside, or an edge that was seen from its other end
            graph.children[edge.parent][edge.child] = None
            if edge.state not in (None, JobState.COMPLETED):
                graph.failed.add(edge.child)
            if edge.child not in graph.children:
                graph.children[edge.child] = {}
                todo.append(edge.child)
    return graph


async def _jobs(store: Store, ids: Sequence[str]) -> Mapping[str, Job | None]:
    found: dict[str, Job | None] = {}
    for start in range(0, len(ids), _ROUND):
        some = ids[start : start + _ROUND]
        found.update(zip(some, await store.get(some), strict=True))
    return found


async def _alter(store: Store, ids: Sequence[str], action: Action) -> list[Altered]:
    answers: list[Altered] = []
    for start in range(0, len(ids), _ROUND):
        answers += await store.alter(ids[start : start + _ROUND], action)
    return answers


def _failed(job: Job | None) -> bool:
    return job is not None and job.state in (JobState.CANCELLED, JobState.DISCARDED)
