"""Graphs in the memory store: who waits for whom, and who hears of an end."""

from __future__ import annotations

import builtins
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from tidewheel._env import Env
from tidewheel._model.flow import CHILDREN
from tidewheel._model.graph import Edge, ended_edge, gives_up, goes_on
from tidewheel._model.job import ErrorInfo, Job, NewJob
from tidewheel._model.state import JobState
from tidewheel._store.children import check_after, no_child
from tidewheel._store.memory_rows import MemoryRows


class MemoryGraphs(MemoryRows):
    """Edges by parent, each parent's by child and in the order of their places."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._edges: dict[str, dict[str, Edge]] = {}

    # GraphStore

    async def edges(self, ids: Sequence[str]) -> builtins.list[Edge]:
        """The edges in which one of the jobs is parent or child, by (parent, place)."""
        with self._atom(items=len(ids)):
            return [edge for edge in self._all_edges() if edge.parent in ids or edge.child in ids]

    def _all_edges(self) -> builtins.list[Edge]:
        return [edge for parent in sorted(self._edges) for edge in self._edges[parent].values()]

    # for the others

    @contextmanager
    def _atom(self, now: int | None = None, items: int = 0) -> Iterator[int]:
        """One call: what ended in it is told before it is over."""
        with super()._atom(now, items) as at:
            yield at
            self._tell(at)

    def _tell(self, now: int) -> None:
        """Tell the parents of what has ended; those that are given up are told to theirs, in the next round."""
        while self._ended:
            ended, self._ended = self._ended, {}
            heard: defaultdict[str, list[Edge]] = defaultdict(list)
            for edge in self._all_edges():
                if edge.state is None and edge.child in ended:
                    child = ended[edge.child]
                    if told := ended_edge(edge, child.state, child.result, child.error):
                        self._edges[edge.parent][edge.child] = told
                    else:
                        del self._edges[edge.parent][edge.child]
                    heard[edge.parent] += [told] if told else []
            for parent, edges in heard.items():
                self._hear(self._rows[parent].job, edges, now)

    def _hear(self, parent: Job, ended: Sequence[Edge], now: int) -> None:
        """What the ends of some of its children make of a parent."""
        if parent.state is not JobState.PARKED or parent.parked_by != CHILDREN:
            return
        if error := gives_up(ended):
            self._put(_given_up(parent, error, now))
            self._tell_of_dead(parent, now)
        elif goes_on(ended) or not self._waits(parent.id):
            if parent.run_at > now:
                self._put(replace(parent, state=JobState.SCHEDULED, parked_by=None))
            else:
                run_at = parent.run_at - parent.lead
                self._put(replace(parent, state=JobState.AVAILABLE, parked_by=None, run_at=run_at))

    def _waits(self, parent: str) -> bool:
        """Whether a child of it has not ended."""
        return any(edge.state is None for edge in self._edges.get(parent, {}).values())

    def _bind(self, new: NewJob, answered: Mapping[str, str], now: int) -> None:
        """Let a job that was just inserted wait for its children. `answered`: by their ids, the jobs they became."""
        check_after(new)
        edges: dict[str, Edge | None] = {}
        for place, after in enumerate(new.after):
            child_id = answered.get(after.id, after.id)
            if child_id not in self._rows:
                raise no_child(new.id, child_id)
            if child_id not in edges:
                child = self._rows[child_id].job
                edge = Edge(new.id, child_id, after.on_failure, place=place)
                final = child.state.final
                edges[child_id] = ended_edge(edge, child.state, child.result, child.error) if final else edge
        known = {child: edge for child, edge in edges.items() if edge}
        self._edges[new.id] = known
        job, ended = self._rows[new.id].job, [edge for edge in known.values() if edge.state is not None]
        if error := gives_up(ended):
            self._put(_given_up(job, error, now))
            self._tell_of_dead(job, now)
        elif self._waits(new.id) and not goes_on(ended):
            self._put(replace(job, state=JobState.PARKED, parked_by=CHILDREN))

    def _reopen(self, child: str) -> None:
        """A job that had ended comes back: whoever waits for it waits on."""
        for edge in self._all_edges():
            if edge.child == child:
                self._edges[edge.parent][child] = replace(edge, state=None, result=None, error=None)

    def _remove(self, job: Job) -> None:
        super()._remove(job)
        self._edges.pop(job.id, None)


def _given_up(parent: Job, error: ErrorInfo, now: int) -> Job:
    return replace(parent, state=JobState.DISCARDED, finished_at=now, parked_by=None, error=error)
