"""Enqueue of jobs that have rules or backlogs, or wait for others: one transaction with a fixed number of steps, whatever the call has.

1. lock the keys, in their order: two calls that ask the same key go one after the other, and no end of a job waits here
2. read the jobs that are met; lock those that may be changed, in the order of their ids, then the oldest of a backlog,
   passing over locked ones
3. decide for one job after the other (`clerk.py`)
4. write what was decided, then wake the gates of those that are gone

Lock order: keys, jobs, gates. An id or a unique key that somebody takes between 2 and 4 is found out by the insert: then
the call begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from tidewheel._model.desk import KeyRow
from tidewheel._model.enqueue_rule import Backlog
from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued
from tidewheel._model.worker import Wakeup
from tidewheel._store.caller.base import PostgresCaller
from tidewheel._store.postgres.call import Call, clock
from tidewheel._store.postgres.clerk import Clerk, Line, Part
from tidewheel._store.postgres.ending import Row, hold, wake, write_ends
from tidewheel._store.postgres.gates import Overtaken
from tidewheel._store.postgres.graphs import edge_row, tell
from tidewheel._store.postgres.insert import insert
from tidewheel._store.postgres.rows import columns

_TRIES: Final = 5
_BACKLOG: Final = "backlog:"
"""Before the name of a backlog, where it is locked as a key."""


class _Taken(Exception):
    """An id or a unique key was taken this very moment."""


class Refused(Exception):
    """Carries a ValueError for the caller past those that know only the driver's errors."""

    def __init__(self, why: ValueError) -> None:
        super().__init__(str(why))
        self.why = why


async def at_the_desk(call: Call, jobs: Sequence[NewJob], now: int | None) -> list[Enqueued]:
    """`WorkStore.enqueue` of any jobs.

    Raises:
        Refused: see `Clerk.serve`; nothing of the call is in.
        Overtaken: others took the ids or unique keys of these jobs, and freed them, again and again.
    """
    for _ in range(_TRIES):
        call.said = False
        try:
            async with _block(call):
                return await _enqueue(call, jobs, now)
        except _Taken:
            continue
    raise Overtaken("Another transaction was faster.")


def _block(call: Call) -> AbstractAsyncContextManager[Any]:
    """A transaction of ours; in the caller's, what can be undone by itself."""
    connection: Any = call.connection
    return connection.savepoint("tidewheel_try") if isinstance(connection, PostgresCaller) else connection.transaction()


async def _enqueue(call: Call, jobs: Sequence[NewJob], now: int | None) -> list[Enqueued]:
    at, keys = await _lock_keys(call, jobs, now)
    clerk = Clerk(at, keys, call.new_id)
    await _read(call, jobs, clerk, now)
    try:
        answers = [clerk.serve(job) for job in jobs]
    except ValueError as error:
        raise Refused(error) from error
    await _write(call, clerk)
    return answers


async def _lock_keys(call: Call, jobs: Sequence[NewJob], now: int | None) -> tuple[int, dict[str, KeyRow]]:
    """Gives now, and the keys that a job has taken."""
    names = {one.key for job in jobs for one in (job.rule, job.fair) if one is not None}
    names |= {_BACKLOG + job.backlog.key for job in jobs if job.backlog is not None}
    if not names:
        return await clock(call, now), {}
    found = await call.connection.fetch(call.sql("keys_lock"), now, sorted(names))
    return found[0][5], {
        key: KeyRow(job, since, until, used) for key, job, since, until, used, _ in found if job is not None
    }


async def _read(call: Call, jobs: Sequence[NewJob], clerk: Clerk, now: int | None) -> None:
    """What there is that the decisions ask for."""
    asked = {job.rule.key for job in jobs if job.rule is not None}
    holders = {key: row.job_id for key, row in clerk.keys.items() if key in asked}
    ids = {job.id for job in jobs} | set(holders.values()) | {one.id for job in jobs for one in job.after}
    unique = {job.unique_key for job in jobs if job.unique_key is not None}
    found = await call.connection.fetch(call.sql("desk_find"), now, sorted(ids), sorted(unique))
    clerk.know([Row.of(record[:-1]) for record in found])
    clerk.now = max([clerk.now, *(record[-1] for record in found)])
    rules = [job.rule for job in jobs if job.rule is not None and job.rule.on_conflict != "existing"]
    if any(job.after for job in jobs):  # whoever is met may be waited for: nobody ends meanwhile
        await _hold(call, clerk, set(clerk.rows))
    else:
        await _hold(call, clerk, {holders[rule.key] for rule in rules if rule.key in holders})
    await _count(call, jobs, clerk)
    await _look_ahead(call, jobs, clerk)


async def _hold(call: Call, clerk: Clerk, ids: set[str]) -> None:
    known = ids & clerk.rows.keys()
    if known:
        for id in known:  # it may be gone by now
            del clerk.rows[id]
        clerk.know(await hold(call, known))


async def _count(call: Call, jobs: Sequence[NewJob], clerk: Clerk) -> None:
    asked: dict[str, list[Backlog]] = {}
    for job in jobs:
        if job.backlog is not None:
            asked.setdefault(job.backlog.key, []).append(job.backlog)
    if not asked:
        return
    up_to, most = list[int | None](), list[int | None]()
    for mine in asked.values():
        drops = [one.most for one in mine if one.drop_oldest]
        # A rule may take one of those that wait away for each job of the call: so many more are counted.
        up_to.append(None if drops else max(one.most for one in mine) + len(jobs))
        most.append(max(0, min(drops) - len(mine)) if drops else None)
    for name, number, *record in await call.connection.fetch(call.sql("desk_backlog"), list(asked), up_to, most):
        line = clerk.lines.setdefault(name, Line(number))
        if record[0] is not None:
            row = Row.of(record)
            clerk.know([row])
            line.oldest.append(row)


async def _look_ahead(call: Call, jobs: Sequence[NewJob], clerk: Clerk) -> None:
    """Find the heads of lines in which jobs take turns. Those that are met here may go, or new ones come before them."""
    lines = sorted({(job.queue, job.priority) for job in jobs if job.fair is not None and not job.lifo})
    if lines:
        clerk.heads = {line: {} for line in lines}
        many = len(clerk.rows) + 1
        for queue, priority, id, place in await call.connection.fetch(call.sql("desk_heads"), *columns(lines, 2), many):
            clerk.heads[queue, priority][id] = place


async def _write(call: Call, clerk: Clerk) -> None:
    await _fates(call, clerk.before, clerk.now)
    for part in clerk.parts:
        if part.jobs:
            added = await insert(
                call, part.jobs, clerk.now, awaited=frozenset(clerk.awaited), parked=part.parked, places=part.places
            )
            if added is not None:
                raise _Taken
            await _find_places(call, part)
            await _fates(call, part, clerk.now)
    if clerk.taken:
        rows = [(key, row.job_id, row.since, row.until, row.used) for key, row in sorted(clerk.taken.items())]
        await call.connection.execute(call.sql("keys_put"), clerk.now, *columns(rows, 5))
    call.hints |= clerk.hints
    await _write_edges(call, clerk)
    ended = [row for part in (clerk.before, *clerk.parts) for row, _, _ in part.ended]
    await tell(call, [row.id for row in ended if row.awaited], clerk.now)
    await wake(call, clerk.wake, clerk.now, clerk.turns)


async def _write_edges(call: Call, clerk: Clerk) -> None:
    if clerk.edges:
        await call.connection.execute(call.sql("edges_add"), *columns([edge_row(edge) for edge in clerk.edges], 8))
    if seqs := sorted(clerk.rows[id].seq for id in clerk.awaited if clerk.rows[id].seq):
        await call.connection.execute(call.sql("edges_await"), seqs)


async def _find_places(call: Call, part: Part) -> None:
    """Learn the places of those of the new jobs that change once more."""
    rows = {row.id: row for row in (*(row for row, _, _ in part.ended), *(one.row for one in part.changed.values()))}
    if rows:
        for found in await hold(call, rows):
            rows[found.id].seq = found.seq


async def _fates(call: Call, part: Part, now: int) -> None:
    """Write what became of jobs."""
    if part.changed:
        rows = columns([one.columns() for one in part.changed.values()], 10)
        await call.connection.execute(call.sql("desk_change"), *rows)
    await write_ends(call, [row.end(state, error) for row, state, error in part.ended], now=now)
    if part.asked:
        await call.connection.execute(call.sql("alter_ask"), sorted(row.seq for row in part.asked))
        call.hints.add(Wakeup.CONTROL)
