"""Gathers what `why` needs to know of a job, by the questions any store answers: a few calls, each bounded.

They are not one atom. When the job has changed in the meantime they are asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from tidewheel._evidence import HOLDERS, Facts, GateFact, suspect
from tidewheel._model.flow import CHILDREN, NO_GATES, Pass
from tidewheel._model.gate import Gate, room
from tidewheel._model.job import Job
from tidewheel._model.limit import GateRow, LimitRow, merged
from tidewheel._model.query import JobFilter
from tidewheel._model.state import JobState
from tidewheel._model.usher import limit_of
from tidewheel._pauses import paused_kinds
from tidewheel._store.base import MAX_BATCH, Store
from tidewheel._why import Why, refuses, why

_MOST: Final = 1000
"""Rows looked at in a line, and of those that run."""
_ROUNDS: Final = 3
"""After so many the answer is that of a moment ago."""


async def explain(store: Store, job_id: str) -> Why | None:
    """Why the job does not run; None when there is none. See `Why`."""
    facts = None
    for _ in range(_ROUNDS):
        (job,) = await store.get([job_id])
        if job is None:
            return None
        if facts is not None and _same(facts.job, job):
            break
        facts = await _gather(store, job)
    return None if facts is None else why(facts)


def _same(one: Job, other: Job) -> bool:
    return (one.state, one.epoch, one.parked_by, one.run_at) == (
        other.state,
        other.epoch,
        other.parked_by,
        other.run_at,
    )


async def _gather(store: Store, job: Job) -> Facts:
    """What may matter. What stops a job for certain saves the questions behind it."""
    facts = Facts(job=job, now=(await store.info()).now)
    if job.state.final:
        return facts
    if job.parked_by == CHILDREN:
        facts = await _children(store, facts)
    facts = replace(facts, workers=tuple(await store.workers()))
    if (job.expires_at is not None and job.expires_at <= facts.now) or job.parked_by in NO_GATES:
        return facts
    if job.state not in (JobState.AVAILABLE, JobState.PARKED):
        return facts
    facts = replace(facts, gates=await _gates(store, job, facts.now))
    if turns := [one.row.holder for one in facts.gates if one.row.holder is not None and not one.mine]:
        facts = replace(facts, states=await _states(store, turns))
    shut = next((code for one in facts.gates if (code := refuses(one)) is not None), None)
    if shut is None or job.state is JobState.AVAILABLE:
        # No other question tells whether a queue is paused; this one counts, which takes its time beside many rows.
        facts = replace(facts, queue_paused=any(one.paused for one in await store.queues() if one.name == job.queue))
        facts = replace(facts, task_paused=job.kind in await paused_kinds(store))
        if facts.queue_paused or facts.task_paused or not facts.able:
            return facts
    if shut in (None, "limit_full", "breaker"):
        page = await store.list(JobFilter(states=(JobState.RUNNING,)), limit=_MOST)
        facts = replace(facts, running=page.jobs, all_running=page.next is None)
    return await _line(store, facts) if shut is None else facts


async def _children(store: Store, facts: Facts) -> Facts:
    """The jobs it waits for, and how the first of them stand."""
    edges = tuple(one for one in await store.edges([facts.job.id]) if one.parent == facts.job.id)
    waits = [one.child for one in edges if one.state is None]
    return replace(facts, children=edges, states=await _states(store, waits[:HOLDERS]))


async def _states(store: Store, ids: Sequence[str]) -> dict[str, JobState]:
    return {one.id: one.state for one in await store.get(ids) if one is not None}


async def _gates(store: Store, job: Job, now: int) -> tuple[GateFact, ...]:
    """The job's gates, the one that parked it first. One that nobody passed yet is judged by its rule."""
    passes = {one.key: one for one in job.passes}
    if job.parked_by is not None:
        limit, _, value = job.parked_by.partition(":")
        stopped = passes.pop(job.parked_by, Pass(limit, value))
        passes = {job.parked_by: stopped, **passes}
    if not passes:
        return ()
    limits = {row.name: row for row in await store.limits()}
    known = {row.key: row for row in await store.gates(keys=list(passes), limit=_MOST)}
    rows = {key: known.get(key) or _new_gate(key, limits, now) for key in passes}
    return tuple(
        GateFact(one, rows[key], _paused_by(key, limits), mine=rows[key].holder == job.id)
        for key, one in passes.items()
    )


def _new_gate(key: str, limits: Mapping[str, LimitRow], now: int) -> GateRow:
    limit = limits.get(limit_of(key))
    own = limits.get(key) if ":" in key else None
    rule = merged(limit.declared, limit.operator, own.operator if own else None) if limit else None
    free, at = room(rule, Gate(), now)
    return GateRow(key=key, limit=limit_of(key), rule=rule, used=0, waiting=False, room=free, opens_at=at)


def _paused_by(key: str, limits: Mapping[str, LimitRow]) -> str:
    own = limits.get(key)
    return key if own is not None and own.operator is not None and own.operator.paused else limit_of(key)


async def _line(store: Store, facts: Facts) -> Facts:
    """The jobs before it, of the kinds that the workers take who could take it. Looked at are those enqueued before it,
    the last ones first, and when these are not too many those enqueued after it.
    """
    job = facts.job
    where = JobFilter(
        states=(JobState.AVAILABLE, JobState.PARKED) if job.state is JobState.PARKED else (JobState.AVAILABLE,),
        queues=(job.queue,),
        kinds=tuple(sorted({kind for one in facts.able for kind in one.info.kinds})),
    )
    older, more = await _older(store, where, job)
    newer: tuple[Job, ...] = ()
    if not more:
        page = await store.list(replace(where, enqueued_after=job.enqueued_at + 1), limit=_MOST)
        newer, more = page.jobs, page.next is not None
    seen = (*newer, *older)
    # Pages come newest first, which is the one word about the order of the enqueue. Its own may be on none.
    turns = {one.id: len(seen) - index for index, one in enumerate(seen)}
    own = _place(job, turns.get(job.id, 0))
    before = [
        (_place(one, turns[one.id]), one.id)
        for one in seen
        if one.id != job.id and _before(one, job, before=_place(one, turns[one.id]) < own)
    ]
    return replace(facts, ahead=tuple(id for _, id in sorted(before)), more_ahead=more)


async def _older(store: Store, where: JobFilter, job: Job) -> tuple[list[Job], bool]:
    """The jobs enqueued in the same moment or before, newest first, down to `_MOST` behind the job itself, and whether
    there are more. A whole batch has one moment, so the job may be far down.
    """
    seen: list[Job] = []
    behind: int | None = None
    cursor: str | None = None
    for _ in range(MAX_BATCH // _MOST + 2):
        page = await store.list(replace(where, enqueued_before=job.enqueued_at + 1), limit=_MOST, cursor=cursor)
        for one in page.jobs:
            behind = 0 if one.id == job.id else None if behind is None else behind + 1
        seen += page.jobs
        cursor = page.next
        if cursor is None or (behind is not None and behind >= _MOST):
            break
    return seen, cursor is not None


def _place(job: Job, turn: int) -> tuple[bool, int, bool, int, int]:
    """Where it stands in the line of its queue."""
    sign = -1 if job.lifo else 1
    return not suspect(job), job.priority, not job.lifo, sign * job.run_at, sign * turn


def _before(one: Job, job: Job, *, before: bool) -> bool:
    """Whether a job is taken before ours, when its place says `before` it."""
    if job.state is not JobState.PARKED:
        return before
    if (one.kind, one.parked_by) != (job.kind, job.parked_by):
        return before and one.state is JobState.AVAILABLE
    # Under its own gate: those that are let in have the room, wherever they stand.
    return before or one.state is JobState.AVAILABLE
