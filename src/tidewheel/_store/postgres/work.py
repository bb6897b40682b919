"""The hot path as functions of a connection: enqueue, claim, beat, settle.

A call is one statement, or one short transaction when it must decide something. Whatever locks several rows does so
in the order of their ids or passes over locked ones, so two calls do not wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import starmap
from typing import Any, Final

import asyncpg
import msgspec

from tidewheel._model.job import Claimed, LogLine, NewJob
from tidewheel._model.outcome import Complete, Outcome, RetryLater, Settlement
from tidewheel._model.query import Accepted, Enqueued
from tidewheel._model.state import JobState
from tidewheel._model.transition import Ending, ending_of, on_dead_job, wakeup_for
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo
from tidewheel._store.base import LOG_LINES
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.gates import Held, free, look_again
from tidewheel._store.postgres.rounds import Rounds
from tidewheel._store.postgres.rows import NEW, claimed, columns, error_row, line_row, new_row
from tidewheel._store.postgres.sql import rows_statement

_ENDED: Final = 13
_encoder: Final = msgspec.json.Encoder()


async def enqueue(call: Call, jobs: Sequence[NewJob], now: int | None) -> list[Enqueued]:
    """See `WorkStore.enqueue`."""
    parts = _without_twins(jobs)
    if len(parts) == 1:
        return await _enqueue(call, jobs, now)
    answers: list[Enqueued] = []
    call.voice = None
    async with call.connection.transaction():
        for part in parts:
            answers += await _enqueue(call, part, now)
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


async def _enqueue(call: Call, jobs: Sequence[NewJob], now: int | None) -> list[Enqueued]:
    """Add jobs with different ids; who was left out is answered with the holder."""
    answers: dict[str, Enqueued] = {}
    left = jobs
    while left:
        added = await _insert(call, left, now)
        answers |= {job.id: Enqueued(job.id, inserted=True) for job in left if added is None or job.id in added}
        left = [job for job in left if job.id not in answers]
        if left:
            asked = ([job.id for job in left], [job.unique_key for job in left])
            for id, key, holder, state in await call.connection.fetch(call.sql("enqueue_holders"), *asked):
                del key
                answers[id] = Enqueued(holder, inserted=False, state=JobState(state))
            # One whose holder ended this very moment is nobody's duplicate any more: it gets another turn.
            left = [job for job in left if job.id not in answers]
    return [answers[job.id] for job in jobs]


async def _insert(call: Call, jobs: Sequence[NewJob], now: int | None) -> frozenset[str] | None:
    """Add what can be added; gives the ids of those, None when it is all."""
    # Jobs of one call have much in common; a value that all share is sent, and unpacked by the server, once.
    values = columns([new_row(job) for job in jobs], len(NEW))
    same = tuple([column.count(column[0]) == len(jobs) for column in values])
    parameters = [column[0] if one else column for column, one in zip(values, same, strict=True)]
    sql = rows_statement("enqueue", call.schema, NEW, same)
    row = await call.connection.fetchrow(sql, now, len(jobs), *(call.voice or (None, None)), *parameters)
    assert row is not None  # noqa: S101 -- a count
    count, available, ids, _ = row
    if available:
        call.hints.add(Wakeup.WORK)
        call.said = call.voice is not None
    if count > available:
        call.hints.add(Wakeup.DUE)
    return None if count == len(jobs) else frozenset(ids or ())


async def claim(
    call: Call,
    wants: Sequence[Want],
    *,
    kinds: Sequence[str],
    worker: str,
    lease: int,
    last_life: bool,
    now: int | None,
) -> list[Claimed]:
    """See `WorkStore.claim`."""
    queues, slots = [want.queue for want in wants], [max(0, want.slots) for want in wants]
    if call.limited.isdisjoint(queues):
        found = await call.connection.fetch(call.sql("claim"), now, queues, slots, kinds, worker, lease, last_life)
        if not (found and found[0][0] is None):
            return [claimed(row) for row in found]
    rounds = Rounds(call, wants, kinds=kinds, worker=worker, lease=lease, last_life=last_life, now=now)
    taken = await rounds.run()
    if rounds.limited is not None:
        (call.limited.update if rounds.limited else call.limited.difference_update)(queues)
    return taken


async def beat(
    call: Call, info: WorkerInfo, beats: Sequence[LeaseBeat], lease: int, now: int | None
) -> list[BeatAnswer]:
    """See `WorkStore.beat`."""
    if not any(one.logs for one in beats):
        held = await _extend(call, info, beats, lease, now)
    else:
        async with call.connection.transaction():
            held = await _extend(call, info, beats, lease, now)
            await add_logs(call, ((held[one.lease][0], one.logs) for one in beats if one.lease in held))
    return [
        BeatAnswer.LOST if one.lease not in held else BeatAnswer.CANCEL if held[one.lease][1] else BeatAnswer.EXTENDED
        for one in beats
    ]


async def _extend(
    call: Call, info: WorkerInfo, beats: Sequence[LeaseBeat], lease: int, now: int | None
) -> dict[tuple[str, int], tuple[int, bool]]:
    progress: dict[tuple[str, int], str | None] = {}
    for one in beats:  # the last word counts
        progress[one.lease] = one.progress if one.progress is not None else progress.get(one.lease)
    ids, epochs = columns(list(progress), 2)
    told = None if info.stopped else _encoder.encode(info).decode()
    found = await call.connection.fetch(
        call.sql("beat"), now, info.id, told, lease, ids, epochs, list(progress.values())
    )
    return {(id, epoch): (seq, cancel) for id, epoch, seq, cancel in found}


async def settle(
    call: Call, settlements: Sequence[Settlement], new_id: Callable[[], str], now: int | None
) -> list[Accepted]:
    """See `WorkStore.settle`."""
    first: dict[tuple[str, int], Settlement] = {}
    for one in settlements:
        first.setdefault(one.lease, one)  # the others are its repeats
    done = [(one, one.outcome.result) for one in first.values() if isinstance(one.outcome, Complete)]
    plain = len(done) == len(first) and not any(one.logs for one, _ in done)
    try:
        accepted = await _complete(call, done, now) if plain else await _settle_all(call, first, done, new_id, now)
    except asyncpg.DataError:  # one of them has limits that cannot be read
        if not plain:
            raise
        accepted = await _settle_all(call, first, done, new_id, now)
    return [Accepted.ACCEPTED if accepted is None or one.lease in accepted else Accepted.STALE for one in settlements]


async def _complete(call: Call, done: Sequence[tuple[Settlement, str]], now: int | None) -> set[tuple[str, int]] | None:
    """Complete jobs; gives the leases that were, None when it is all of them."""
    leases = sorted(one.lease for one, _ in done)
    count, waiting, moment = await _completed(call, done, now, free=True)
    if waiting:
        await look_again(call, waiting, moment)
    return None if count == len(leases) else await _known(call, leases)


async def _completed(
    call: Call, done: Sequence[tuple[Settlement, str]], now: int | None, *, free: bool
) -> tuple[int, list[str] | None, int]:
    rows = sorted((*one.lease, result, one.progress) for one, result in done)
    row = await call.connection.fetchrow(call.sql("settle_complete"), now, *columns(rows, 4), free)
    assert row is not None  # noqa: S101 -- it counts
    count, waiting, moment = row
    if count:
        call.hints.add(Wakeup.SETTLED)
    return count, waiting, moment


async def _known(call: Call, leases: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
    found = await call.connection.fetch(call.sql("settle_known"), *columns(leases, 2))
    return {(id, epoch) for id, epoch in found}


async def _settle_all(
    call: Call,
    first: dict[tuple[str, int], Settlement],
    done: Sequence[tuple[Settlement, str]],
    new_id: Callable[[], str],
    now: int | None,
) -> set[tuple[str, int]]:
    async with call.connection.transaction():
        return await _settled(call, first, done, new_id, now)


async def _settled(
    call: Call,
    first: dict[tuple[str, int], Settlement],
    done: Sequence[tuple[Settlement, str]],
    new_id: Callable[[], str],
    now: int | None,
) -> set[tuple[str, int]]:
    held = {
        (row[0], row[1]): row
        for row in await call.connection.fetch(call.sql("settle_rows"), now, *columns(sorted(first), 2))
    }
    await add_logs(call, ((held[lease][2], one.logs) for lease, one in first.items() if lease in held))
    moment = next(iter(held.values()))["now"] if held else 0
    ends, passed = [], []
    for lease, one in first.items():
        if lease in held and (flow := held[lease]["flow"]) is not None:
            passed.append(Held(flow, *_hold(one.outcome, moment)))
        if lease in held and not isinstance(one.outcome, Complete):
            id, _, seq, queue, attempt, _, _, run_at, cancel, keep_failed, on_dead, *_ = held[lease]
            ending = ending_of(one.outcome, attempt=attempt, run_at=run_at, cancel_requested=cancel, now=moment)
            ends.append(End(ending, id, seq, queue, keep_failed, on_dead, one.progress))
    await write_ends(call, ends, rescue=False, new_id=new_id, now=moment)
    mine = [(one, result) for one, result in done if one.lease in held]
    if mine:
        await _completed(call, mine, moment, free=False)
    await free(call, passed, moment)
    gone = [lease for lease in first if lease not in held]
    return held.keys() | (await _known(call, gone) if gone else set())


def _hold(outcome: Outcome, now: int) -> tuple[tuple[str, ...], int]:
    """The limits that an outcome shuts, and until when."""
    return (outcome.hold, now + outcome.after) if isinstance(outcome, RetryLater) else ((), 0)


class End(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended, and of which row."""

    ending: Ending
    id: str
    seq: int
    queue: str
    keep_failed: int | None
    on_dead: str | None
    progress: str | None = None

    def row(self) -> tuple[Any, ...]:
        """The columns of `end_rows.sql`."""
        one = self.ending
        why = error_row(one.record_error)
        kept = (self.keep_failed, *error_row(one.error), self.progress, one.record, *why)
        return (self.seq, one.state.value, one.attempt, one.run_at, *kept)


async def write_ends(call: Call, ends: Sequence[End], *, rescue: bool, new_id: Callable[[], str], now: int) -> None:
    """Write endings that are not plain completion, their records, and the jobs that tell of dead letters."""
    if not ends:
        return
    rows = columns([end.row() for end in ends], _ENDED)
    await call.connection.execute(call.sql("end_rows"), now, int(rescue), *rows)
    call.hints |= {hint for end in ends if (hint := wakeup_for(end.ending.state))}
    tell = [
        on_dead_job(new_id=new_id(), kind=end.on_dead, dead_id=end.id, queue=end.queue)
        for end in ends
        if end.ending.state is JobState.DISCARDED and end.on_dead is not None
    ]
    if tell:
        await _enqueue(call, tell, now)


async def add_logs(call: Call, said: Iterable[tuple[int, Sequence[LogLine]]]) -> None:
    """Write log lines of jobs and drop the oldest beyond `LOG_LINES` of each."""
    lines = [(seq, line) for seq, spoken in said for line in spoken[-LOG_LINES:]]
    if lines:
        await call.connection.execute(call.sql("log_add"), *columns(list(starmap(line_row, lines)), 4))
        await call.connection.execute(call.sql("log_trim"), sorted({seq for seq, _ in lines}), LOG_LINES)
