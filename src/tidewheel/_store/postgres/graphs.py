"""Jobs that wait for others: who ends a job tells its parents, in the same transaction.

1. write the end on the edges; they are locked behind their child, and before their parent
2. lock the parents, whatever state they are in, in the order of their ids
3. ask in a later statement whether an edge of theirs is open still

Of two last children that end at once the second one waits at 2 and sees at 3 what the first has written: one of them
releases the parent, always. A parent that is retried meanwhile is locked by that call, which parks it or not by the edges
it sees: the end that it does not see comes to the parent after it. Who removes a parent passes over edges that are being
written; so an end that finds no parent removes them.

Parents are locked behind their children, other calls lock jobs in the order of their ids. Children are mostly enqueued
before their parents, which is the same order. Where it is not, two calls can meet in a circle: PostgreSQL ends one of them,
which begins anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from tidewheel._model.flow import CHILDREN
from tidewheel._model.graph import Edge, gives_up, goes_on
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.ending import hold, write_ends
from tidewheel._store.postgres.rows import error_of, error_row

if TYPE_CHECKING:
    from typing import Any

    from tidewheel._store.postgres.connect import Record

_LOOK_AT: Final = 1000


async def edges(call: Call, ids: Sequence[str]) -> list[Edge]:
    """See `GraphStore.edges`."""
    return [_edge(record) for record in await call.connection.fetch(call.sql("edges_list"), ids)]


def _edge(record: Record) -> Edge:
    parent, child, on_failure, state, result, kind, message, traceback, place = record
    ended = None if state is None else JobState(state)
    return Edge(parent, child, on_failure, ended, result, error_of(kind, message, traceback), place)


def edge_row(edge: Edge) -> tuple[Any, ...]:
    """The columns of `edges_add.sql`."""
    state = None if edge.state is None else edge.state.value
    return (edge.parent, edge.child, edge.place, edge.on_failure, state, *error_row(edge.error))


async def tell(call: Call, ended: Collection[str], now: int) -> None:
    """Jobs that others wait for have ended, or are gone: their parents hear of it, and theirs, if they are given up.

    The ends are written already. Gates are not locked yet: nobody waits for a job while he holds a gate.
    """
    while ended:
        heard = await _write_ends(call, sorted(set(ended)))
        ended = await _hear(call, heard, now) if heard else ()


async def tell_untold(call: Call, now: int) -> None:
    """Look for ends that nobody told, a few in each sweep, and tell them."""
    untold = {row[0] for row in await call.connection.fetch(call.sql("edges_untold"), _LOOK_AT)}
    if not untold:
        return
    async with call.connection.transaction():
        found = await hold(call, untold)
        await tell(call, untold - {row.id for row in found if not row.state.final}, now)


async def _write_ends(call: Call, children: Sequence[str]) -> dict[str, list[Edge]]:
    """Gives the edges that have ended now, by parent."""
    heard: defaultdict[str, list[Edge]] = defaultdict(list)
    for record in await call.connection.fetch(call.sql("edges_end"), children):
        parent, child, place, on_failure, state, *error = record
        heard[parent].append(Edge(parent, child, on_failure, JobState(state), None, error_of(*error), place))
    return heard


async def _hear(call: Call, heard: dict[str, list[Edge]], now: int) -> list[str]:
    """Gives the parents that are given up and have parents themselves."""
    found = await hold(call, heard)
    if gone := sorted(heard.keys() - {row.id for row in found}):
        await call.connection.execute(call.sql("edges_forget"), gone)
    waiting = [row for row in found if row.state is JobState.PARKED and row.parked_by == CHILDREN]
    if not waiting:
        return []
    still = {row[0] for row in await call.connection.fetch(call.sql("edges_open"), [row.id for row in waiting])}
    ends, released, given_up = [], list[int](), list[str]()
    for row in waiting:
        if error := gives_up(heard[row.id]):
            ends.append(row.end(JobState.DISCARDED, error))
            given_up += [row.id] if row.awaited else []
        elif goes_on(heard[row.id]) or row.id not in still:
            released.append(row.seq)
    await write_ends(call, ends, now=now)
    await _release(call, released, now)
    return given_up


async def _release(call: Call, seqs: Sequence[int], now: int) -> None:
    if not seqs:
        return
    row = await call.connection.fetchrow(call.sql("edges_release"), now, seqs)
    assert row is not None  # noqa: S101 -- it counts
    available, later = row
    call.hints |= {Wakeup.WORK} if available else set()
    call.hints |= {Wakeup.DUE} if later else set()
