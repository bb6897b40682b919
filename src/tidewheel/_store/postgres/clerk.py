"""The decisions about a call of enqueue, one job after the other: what was read goes in, what is to be written comes out.

Nothing here asks the server. What is decided for one job is seen by those behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from tidewheel._model.desk import WAITING, Change, Holder, KeyRow, Verdict, due_at, judge, turn
from tidewheel._model.enqueue_rule import Backlog
from tidewheel._model.flow import CHILDREN, order_key_of
from tidewheel._model.graph import Edge, ended_edge, gives_up, goes_on
from tidewheel._model.job import ErrorInfo, NewJob, stored_flow
from tidewheel._model.query import Enqueued
from tidewheel._model.state import LIVE_STATES, JobState
from tidewheel._model.transition import dropped_for, on_dead_job, replaced_by
from tidewheel._model.worker import Wakeup
from tidewheel._store.children import check_after, no_child
from tidewheel._store.postgres.ending import Row
from tidewheel._store.postgres.rows import array


class Changed(msgspec.Struct):
    """What a job takes over from newer ones; None leaves a column as it is."""

    row: Row
    state: JobState
    run_at: int | None = None
    priority: int | None = None
    args: str | None = None
    flow: str | None = None
    expires_at: int | None = None
    meta: str | None = None
    tags: tuple[str, ...] | None = None

    def columns(self) -> tuple[Any, ...]:
        """Those of `desk_change.sql`."""
        tags = None if self.tags is None else array(self.tags)
        flow = (self.flow, order_key_of(self.flow))
        said = (self.run_at, self.priority, self.args, *flow, self.expires_at, self.meta, tags)
        return (self.row.seq, self.state.value, *said)


class Part(msgspec.Struct):
    """Jobs to add in one statement, and what becomes of them after it, in this call."""

    jobs: list[NewJob] = []
    changed: dict[str, Changed] = {}
    ended: list[tuple[Row, JobState, ErrorInfo]] = []
    """Those that end before they start, how and why."""
    parked: dict[str, str] = {}
    """By the ids of jobs that are parked from the beginning, under what."""
    places: dict[str, int] = {}
    """By the ids of jobs that have their turns, their places in the line."""
    asked: list[Row] = []
    """Running jobs that are asked to stop."""
    freed: set[str] = set()
    """Unique keys of jobs that are added and cancelled here."""


class Line(msgspec.Struct):
    """Those that wait under the name of a backlog."""

    number: int
    """How many there are, at least as far as it matters."""
    oldest: list[Row] = []
    """The first of them by the order of the enqueue, as many as may have to go; then those of this call."""


class Clerk:
    """One call."""

    def __init__(self, now: int, keys: Mapping[str, KeyRow], new_id: Callable[[], str]) -> None:
        self.now = now
        self._new_id = new_id
        self.keys = dict(keys)
        self.rows: dict[str, Row] = {}
        """The jobs that are met, by their ids."""
        self.lines: dict[str, Line] = {}
        self.heads: dict[tuple[str, int], dict[str, int]] = {}
        """Of lines in which jobs take turns, by queue and priority: the first jobs and their places."""
        self.taken: dict[str, KeyRow] = {}
        """Keys to write."""
        self.before = Part()
        """What becomes of jobs that were there before."""
        self.parts = [Part()]
        self.wake: set[str] = set()
        """Gates that had let in jobs which are gone now."""
        self.turns: dict[int, str] = {}
        """Jobs that are gone now, or change, and may have had their turn at a gate, with that."""
        self.hints: set[Wakeup] = set()
        self.edges: list[Edge] = []
        """What the new jobs wait for."""
        self.awaited: set[str] = set()
        """Jobs that somebody waits for from now on."""
        self._answered: dict[str, str] = {}
        """By the ids of the jobs of the call, the ids they were answered with."""
        self._unique: dict[str, str] = {}
        self._part_of: dict[str, Part] = {}

    def know(self, rows: list[Row]) -> None:
        """Take over what was read; a row that is given again counts in its last form."""
        for row in rows:
            self.rows[row.id] = row
            if row.unique_key is not None and row.state in LIVE_STATES:
                self._unique[row.unique_key] = row.id

    def serve(self, new: NewJob) -> Enqueued:
        """Decide about one job.

        Raises:
            ValueError: it waits for one that does not exist, for itself, or for too many.
        """
        answer = self._serve(new)
        self._answered[new.id] = answer.id
        if answer.inserted:
            if new.after:
                self._bind(new)
            self._line_up(new)
        return answer

    def _serve(self, new: NewJob) -> Enqueued:
        row = self.rows.get(new.id)
        if row is None and new.unique_key is not None:
            row = self._live(new.unique_key)
        if row is not None:
            return Enqueued(row.id, inserted=False, state=row.state)
        verdict, holder = self._judged(new)
        if not verdict.insert:
            assert new.rule is not None  # noqa: S101 -- without one there is nothing that refuses
            return self._answer(new, self.keys[new.rule.key].job_id, holder, verdict)
        old = holder if verdict.cancel else None
        full, dropped = self._room(new.backlog, old)
        if full:
            return Enqueued(new.id, inserted=False, did="full")
        if old is not None:
            self._cancel(old, replaced_by(new.id))
        for row in dropped:
            assert new.backlog is not None  # noqa: S101 -- it is what drops them
            self._cancel(row, dropped_for(new.id, new.backlog))
        self._add(new, verdict)
        gone = old or next(iter(dropped), None)
        return Enqueued(
            new.id,
            inserted=True,
            cancelled=None if gone is None else gone.id,
            remaining=verdict.remaining,
            reset_at=verdict.reset_at,
        )

    def _live(self, unique_key: str) -> Row | None:
        row = self.rows.get(self._unique.get(unique_key, ""))
        return row if row is not None and row.state in LIVE_STATES else None

    def _judged(self, new: NewJob) -> tuple[Verdict, Row | None]:
        if new.rule is None:
            return Verdict(insert=True), None
        key = self.keys.get(new.rule.key)
        row = None if key is None else self.rows.get(key.job_id)
        holder = None if row is None else Holder(row.state, row.flow, row.parked_by, row.expires_at)
        return judge(new.rule, new, key, holder, self.now), row

    def _answer(self, new: NewJob, id: str, holder: Row | None, verdict: Verdict) -> Enqueued:
        did: Literal["", "dropped", "replaced"] = "dropped" if verdict.dropped else ""
        if verdict.change is not None and holder is not None:
            did = "replaced"
            self._change(holder, new, verdict.change)
        state = None if holder is None else holder.state
        return Enqueued(
            id, inserted=False, state=state, did=did, remaining=verdict.remaining, reset_at=verdict.reset_at
        )

    def _room(self, backlog: Backlog | None, gone: Row | None) -> tuple[bool, list[Row]]:
        """Whether there is none, and the jobs that have to go so that there is."""
        if backlog is None:
            return False, []
        line = self.lines[backlog.key]
        leaves = gone is not None and gone.backlog == backlog.key and gone.state in WAITING
        over = line.number - leaves + 1 - backlog.most
        if over <= 0:
            return False, []
        if not backlog.drop_oldest:
            return True, []
        return False, [row for row in line.oldest if row.state in WAITING and row is not gone][:over]

    def _cancel(self, row: Row, error: ErrorInfo) -> None:
        if row.state is JobState.RUNNING:
            if not row.cancel_requested:
                row.cancel_requested = True
                self._part_of.get(row.id, self.before).asked.append(row)
            return
        if row.let_in_by is not None:
            self.wake.add(row.let_in_by)
        self._step_down(row)
        self._end(row, JobState.CANCELLED, error)

    def _step_down(self, row: Row, flow: str | None = None) -> None:
        """It goes, or passes others from now on."""
        key = order_key_of(row.flow)
        if key is not None and row.seq and key != order_key_of(flow):
            self.turns[row.seq] = key

    def _end(self, row: Row, state: JobState, error: ErrorInfo) -> None:
        part = self._part_of.get(row.id, self.before)
        if row.backlog in self.lines:
            self.lines[row.backlog].number -= 1
        row.state, row.parked_by, row.error = state, None, error
        part.parked.pop(row.id, None)
        part.ended.append((row, state, error))
        self._stand(row)
        if row.unique_key is not None and part is not self.before:
            part.freed.add(row.unique_key)

    def _change(self, row: Row, new: NewJob, change: Change) -> None:
        part = self._part_of.get(row.id, self.before)
        changed = part.changed.setdefault(row.id, Changed(row, row.state))
        later = change.run_at is not None and change.state is not JobState.AVAILABLE
        if change.state is JobState.AVAILABLE and row.state is not JobState.AVAILABLE:
            self.hints.add(Wakeup.WORK)
        changed.state = row.state = change.state
        for name in ("run_at", "priority", "meta", "tags"):
            if (value := getattr(change, name)) is not None:
                setattr(changed, name, value)
        if change.priority is not None:
            row.priority = change.priority
        if change.run_at is not None:
            row.run_at = change.run_at - ((row.lead or 0) if change.state is JobState.AVAILABLE else 0)
            changed.run_at = row.run_at
        self._stand(row)
        if change.args is not None:
            self._step_down(row, change.flow)
            row.flow = change.flow
            row.expires_at = None if new.expires_in is None else self.now + new.expires_in
            changed.args, changed.flow, changed.expires_at = change.args, row.flow, row.expires_at
        if later or (change.args is not None and new.expires_in is not None):
            self.hints.add(Wakeup.DUE)

    def _add(self, new: NewJob, verdict: Verdict) -> None:
        if new.unique_key in self.parts[-1].freed:
            self.parts.append(Part())  # its end has to be written before
        part = self.parts[-1]
        due = due_at(new, self.now)
        row = Row(
            new.id,
            0,
            JobState.SCHEDULED if due > self.now else JobState.AVAILABLE,
            queue=new.queue,
            run_at=due,
            keep_failed=new.keep_failed,
            on_dead=new.on_dead,
            unique_key=new.unique_key,
            flow=stored_flow(new),
            expires_at=None if new.expires_in is None else self.now + new.expires_in,
            backlog=None if new.backlog is None else new.backlog.key,
            priority=new.priority,
            lifo=new.lifo,
            lead=new.lead or None,
        )
        self.know([row])
        part.jobs.append(new)
        self._part_of[row.id] = part
        if row.backlog in self.lines:
            self.lines[row.backlog].number += 1
            self.lines[row.backlog].oldest.append(row)
        if new.rule is not None and verdict.row is not None:
            self.keys[new.rule.key] = self.taken[new.rule.key] = verdict.row

    def _line_up(self, new: NewJob) -> None:
        """Give a new job that may run at once its place in the line."""
        row = self.rows[new.id]
        if row.state is not JobState.AVAILABLE:
            return
        if new.fair is None or new.lifo:
            row.run_at -= new.lead
        else:
            head = min(self.heads[new.queue, new.priority].values(), default=None)
            row.run_at, key = turn(new, new.fair, self.keys.get(new.fair.key), head, self.now)
            self.keys[new.fair.key] = self.taken[new.fair.key] = key
            self._part_of[row.id].places[row.id] = row.run_at
        self._stand(row)

    def _stand(self, row: Row) -> None:
        """A job comes into a line, goes, or goes elsewhere."""
        for head in self.heads.values():
            head.pop(row.id, None)
        if row.state is JobState.AVAILABLE and not row.lifo and (row.queue, row.priority) in self.heads:
            self.heads[row.queue, row.priority][row.id] = row.run_at

    def _bind(self, new: NewJob) -> None:
        """Let a job that was just added wait for its children."""
        check_after(new)
        edges: dict[str, Edge | None] = {}
        for place, after in enumerate(new.after):
            child = self.rows.get(id := self._answered.get(after.id, after.id))
            if child is None:
                raise no_child(new.id, id)
            if id not in edges:
                edge = Edge(new.id, id, after.on_failure, place=place)
                edges[id] = ended_edge(edge, child.state, None, child.error) if child.state.final else edge
        known = [edge for edge in edges.values() if edge is not None]
        still = [edge for edge in known if edge.state is None]
        self.edges += known
        for edge in still:
            self.rows[edge.child].awaited = True
            self.awaited.add(edge.child)
        row, ended = self.rows[new.id], [edge for edge in known if edge.state is not None]
        if error := gives_up(ended):
            self._end(row, JobState.DISCARDED, error)
            if (kind := row.on_dead) is not None:  # behind its job, before the next of the call
                row.on_dead = None
                dead = on_dead_job(new_id=self._new_id(), kind=kind, dead_id=row.id, queue=row.queue)
                self._part_of[row.id].jobs.append(dead)
        elif still and not goes_on(ended):
            row.state, row.parked_by = JobState.PARKED, CHILDREN
            self._part_of[row.id].parked[row.id] = CHILDREN
