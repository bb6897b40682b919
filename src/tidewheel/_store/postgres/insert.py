"""Adding jobs: an id or a unique key that is taken is found out by the insert itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from tidewheel._model.flow import order_key_of
from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.early import flush
from tidewheel._store.postgres.rows import MORE, NEW, columns, more_row, new_row, own_columns
from tidewheel._store.postgres.sql import EARLY, LEAVE_OUT, row_statement, rows_statement

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Record


async def add(call: Call, jobs: Sequence[NewJob], now: int | None) -> list[Enqueued]:
    """`WorkStore.enqueue` of jobs without rules, backlogs and children."""
    parts = _without_twins(jobs)
    if len(parts) == 1:
        return await _add(call, jobs, now)
    answers: list[Enqueued] = []
    call.voice = None
    async with call.connection.transaction():
        for part in parts:
            answers += await _add(call, part, now)
    return answers


def _without_twins(jobs: Sequence[NewJob]) -> list[Sequence[NewJob]]:
    """The jobs, cut before an id comes again: an answer of the server names ids."""
    if len({job.id for job in jobs}) == len(jobs):
        return [jobs]
    parts, part, seen = [], list[NewJob](), set[str]()
    for job in jobs:
        if job.id in seen:
            parts.append(part)
            part, seen = [], set()
        part.append(job)
        seen.add(job.id)
    return [*parts, part]


async def _add(call: Call, jobs: Sequence[NewJob], now: int | None) -> list[Enqueued]:
    """Add jobs with different ids; who was left out is answered with the holder."""
    answers: dict[str, Enqueued] = {}
    left = jobs
    while left:
        added = await (insert(call, left, now) if len(left) > 1 else _insert_one(call, left[0], now))
        answers |= {job.id: Enqueued(job.id, inserted=True) for job in left if added is None or job.id in added}
        left = [job for job in left if job.id not in answers]
        if left:
            asked = ([job.id for job in left], [job.unique_key for job in left])
            for id, key, holder, state in await call.connection.fetch(call.sql("enqueue_holders"), *asked):
                del key
                answers[id] = Enqueued(holder, inserted=False, state=JobState(state))
            for id in [id for id, answer in answers.items() if answer.id == id and not answer.inserted][:1]:
                await flush(call, id)  # somebody else may be enqueuing that very job, and not wait for the disk yet
            # One whose holder ended this very moment is nobody's duplicate any more: it gets another turn.
            left = [job for job in left if job.id not in answers]
    return [answers[job.id] for job in jobs]


def _more(job: NewJob) -> bool:
    return job.expires_in is not None or job.backlog is not None or job.lead != 0 or order_key_of(job.flow) is not None


async def _insert_one(call: Call, job: NewJob, now: int | None) -> frozenset[str] | None:
    """`insert` of one job, in the fewest steps when it is a plain one."""
    if job.run_at is not None or job.delay or _more(job):
        return await insert(call, [job], now)
    own = own_columns(job)
    parameters = now, *(call.voice or (None, None)), *own.values()
    # Who hears of it claims it while the disk writes it; his claim is on the disk after it. (docs/adr/0018)
    early = call.habit.early and call.voice is not None and job.unique_key is None
    end = EARLY if early else ""
    row = await _write(
        call, [job], lambda clash: row_statement("enqueue_one", call.schema, tuple(own), clash, end), parameters
    )
    if row is None:
        return frozenset()
    call.hints.add(Wakeup.WORK)
    call.said = call.voice is not None
    if early:
        await flush(call, job.id)
    return None


async def insert(
    call: Call,
    jobs: Sequence[NewJob],
    now: int | None,
    *,
    awaited: frozenset[str] = frozenset(),
    parked: dict[str, str] | None = None,
    places: dict[str, int] | None = None,
) -> frozenset[str] | None:
    """Add what can be added; gives the ids of those, None when it is all.

    `awaited`: ids of those that others wait for. `parked`: by their ids, under what jobs wait from the beginning.
    `places`: where those stand in the line that have their turns.
    """
    under, stands = parked or {}, places or {}
    more = bool(awaited or under or stands) or any(map(_more, jobs))
    if more:
        rows = [
            more_row(job, awaited=job.id in awaited or None, parked_by=under.get(job.id), stands_at=stands.get(job.id))
            for job in jobs
        ]
    else:
        rows = [new_row(job) for job in jobs]
    # Jobs of one call have much in common; a value that all share is sent, and unpacked by the server, once.
    names = MORE if more else NEW
    values = columns(rows, len(names))
    same = tuple([column.count(column[0]) == len(jobs) for column in values])
    own = [column[0] if one else column for column, one in zip(values, same, strict=True)]
    name, parameters = "enqueue_more" if more else "enqueue", (now, len(jobs), *(call.voice or (None, None)), *own)
    row = await _write(call, jobs, lambda clash: rows_statement(name, call.schema, names, same, clash), parameters)
    assert row is not None  # noqa: S101 -- a count
    count, available, ids, _ = row
    if available:
        call.hints.add(Wakeup.WORK)
        call.said = call.voice is not None
    if count > available or (more and any(job.expires_in is not None for job in jobs)):
        call.hints.add(Wakeup.DUE)
    return None if count == len(jobs) else frozenset(ids or ())


async def _write(
    call: Call, jobs: Sequence[NewJob], sql: Callable[[str], str], parameters: Sequence[Any]
) -> Record | None:
    """Insert as if no job clashed, and, when one does, once more without it: a row that may clash costs the server a third
    more. Not where that is to be expected, nor in a transaction, which would be lost.
    """
    keyed = any(job.unique_key is not None for job in jobs)
    if not (keyed or call.habit.expects_clashes() or call.connection.is_in_transaction()):
        try:
            return await call.connection.fetchrow(sql(""), *parameters)
        except asyncpg.UniqueViolationError:
            call.habit.clashed()
    return await call.connection.fetchrow(sql(LEAVE_OUT), *parameters)
