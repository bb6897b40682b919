"""The hot path as functions of a connection: enqueue, claim, beat, settle.

A call is one statement, or one short transaction when it must decide something. Whatever locks several rows does so
in the order of their ids or passes over locked ones, so two calls do not wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Final

import asyncpg
import msgspec

from tidewheel._model.desk import comes_to_the_desk
from tidewheel._model.job import Claimed, LogLine, NewJob
from tidewheel._model.outcome import Complete, Outcome, RetryLater, Settlement
from tidewheel._model.query import Accepted, Enqueued
from tidewheel._model.transition import ending_of
from tidewheel._model.usher import ended_by
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo
from tidewheel._store.base import LOG_LINES
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.desk import at_the_desk
from tidewheel._store.postgres.ending import End, write_ends
from tidewheel._store.postgres.gates import Held, free, look_again
from tidewheel._store.postgres.graphs import tell
from tidewheel._store.postgres.insert import add
from tidewheel._store.postgres.rounds import Rounds
from tidewheel._store.postgres.rows import claimed, columns, in_line, line_row
from tidewheel._store.postgres.sql import claim_statement

_encoder: Final = msgspec.json.Encoder()


async def enqueue(call: Call, jobs: Sequence[NewJob], now: int | None) -> list[Enqueued]:
    """See `WorkStore.enqueue`."""
    if any(map(comes_to_the_desk, jobs)):
        return await at_the_desk(call, jobs, now)
    return await add(call, jobs, now)


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
    more = kinds, worker, lease, last_life
    asked = now, queues, slots, *more
    if call.habit.plain(queues):
        one = len(queues) == 1
        which = (queues[0], slots[0]) if one else (queues, slots)
        found = await call.connection.fetch(claim_statement(call.schema, one=one), now, *which, *more)
        if not (found and found[0][0] is None):
            return [claimed(row) for row in in_line(found, queues)]
    if call.habit.open(queues):
        try:
            found = await call.connection.fetch(call.sql("gates_claim"), *asked)
        except (asyncpg.DataError, asyncpg.UniqueViolationError):
            # Limits that cannot be read, or a gate that somebody makes or passes this very moment, too.
            call.habit.collided(queues)
        else:
            if not (found and found[0][0] is None):
                if found:
                    call.habit.met(queues, limited=found[0][-1])
                return [claimed(row) for row in found]
            call.habit.was_tight(queues)
    rounds = Rounds(call, wants, kinds=kinds, worker=worker, lease=lease, last_life=last_life, now=now)
    taken = await rounds.run()
    if rounds.limited is not None:
        call.habit.met(queues, limited=rounds.limited)
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


async def settle(call: Call, settlements: Sequence[Settlement], now: int | None) -> list[Accepted]:
    """See `WorkStore.settle`."""
    first: dict[tuple[str, int], Settlement] = {}
    for one in settlements:
        first.setdefault(one.lease, one)  # the others are its repeats
    done = [(one, one.outcome.result) for one in first.values() if isinstance(one.outcome, Complete)]
    plain = len(done) == len(first) and not any(one.logs for one, _ in done)
    try:
        accepted = await _complete(call, done, now) if plain else await _settle_all(call, first, done, now)
    except asyncpg.DataError:  # one of them has limits that cannot be read
        if not plain:
            raise
        accepted = await _settle_all(call, first, done, now)
    return [Accepted.ACCEPTED if accepted is None or one.lease in accepted else Accepted.STALE for one in settlements]


async def _complete(call: Call, done: Sequence[tuple[Settlement, str]], now: int | None) -> set[tuple[str, int]] | None:
    """Complete jobs; gives the leases that were, None when it is all of them."""
    leases = sorted(one.lease for one, _ in done)
    count, waiting, moment = await _completed(call, done, now, alone=True)
    if waiting:
        await look_again(call, waiting, moment)
    if count == len(leases):
        return None
    known, left = await _known(call, leases)
    if left:  # others wait for these, and are told in the same transaction
        first: dict[tuple[str, int], Settlement] = {one.lease: one for one, _ in done if one.lease in left}
        known |= await _settle_all(call, first, [(one, result) for one, result in done if one.lease in left], now)
    return known


async def _completed(
    call: Call, done: Sequence[tuple[Settlement, str]], now: int | None, *, alone: bool
) -> tuple[int, list[str] | None, int]:
    rows = sorted((*one.lease, result, one.progress) for one, result in done)
    row = await call.connection.fetchrow(call.sql("settle_complete"), now, *columns(rows, 4), alone)
    assert row is not None  # noqa: S101 -- it counts
    count, waiting, moment = row
    if count:
        call.hints.add(Wakeup.SETTLED)
    return count, waiting, moment


async def _known(call: Call, leases: Sequence[tuple[str, int]]) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """The leases whose settlements were written, and those that were left."""
    found = await call.connection.fetch(call.sql("settle_known"), *columns(leases, 2))
    left = {(id, epoch) for id, epoch, was_left in found if was_left}
    return {(id, epoch) for id, epoch, _ in found} - left, left


async def _settle_all(
    call: Call,
    first: dict[tuple[str, int], Settlement],
    done: Sequence[tuple[Settlement, str]],
    now: int | None,
) -> set[tuple[str, int]]:
    async with call.connection.transaction():
        return await _settled(call, first, done, now)


async def _settled(
    call: Call,
    first: dict[tuple[str, int], Settlement],
    done: Sequence[tuple[Settlement, str]],
    now: int | None,
) -> set[tuple[str, int]]:
    held = {
        (row[0], row[1]): row
        for row in await call.connection.fetch(call.sql("settle_rows"), now, *columns(sorted(first), 2))
    }
    awaited = {row["id"] for row in held.values() if row["awaited"]}
    await add_logs(call, ((held[lease][2], one.logs) for lease, one in first.items() if lease in held))
    moment = next(iter(held.values()))["now"] if held else 0
    ends, passed, told = [], [], []
    for lease, one in first.items():
        final = True
        if lease in held and isinstance(one.outcome, Complete):
            told.append(one.lease.job_id)
        elif lease in held:
            id, _, seq, queue, attempt, _, _, run_at, cancel, keep_failed, on_dead, *_ = held[lease]
            ending = ending_of(one.outcome, attempt=attempt, run_at=run_at, cancel_requested=cancel, now=moment)
            ends.append(End(ending, id, seq, queue, keep_failed, on_dead, one.progress))
            final = ending.state.final
            told += [id] if final else []
        if lease in held and (flow := held[lease]["flow"]) is not None:
            passed.append(Held(flow, held[lease]["seq"], final, ended_by(one.outcome), *_hold(one.outcome, moment)))
    await write_ends(call, ends, now=moment)
    mine = [(one, result) for one, result in done if one.lease in held]
    if mine:
        await _completed(call, mine, moment, alone=False)
    await tell(call, [id for id in told if id in awaited], moment)
    await free(call, passed, moment)
    gone = [lease for lease in first if lease not in held]
    return held.keys() | ((await _known(call, gone))[0] if gone else set())


def _hold(outcome: Outcome, now: int) -> tuple[tuple[str, ...], int]:
    """The limits that an outcome shuts, and until when."""
    return (outcome.hold, now + outcome.after) if isinstance(outcome, RetryLater) else ((), 0)


async def add_logs(call: Call, said: Iterable[tuple[int, Sequence[LogLine]]]) -> None:
    """Write log lines of jobs and drop the oldest beyond `LOG_LINES` of each."""
    lines = [(seq, line) for seq, spoken in said for line in spoken[-LOG_LINES:]]
    if lines:
        await call.connection.execute(call.sql("log_add"), *columns(list(starmap(line_row, lines)), 4))
        await call.connection.execute(call.sql("log_trim"), sorted({seq for seq, _ in lines}), LOG_LINES)
