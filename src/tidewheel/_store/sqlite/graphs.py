"""Jobs that wait for others, as functions of a transaction: the edges of a new parent, and what the end of a child means.

The ends of one call, or of one step of a sweep, are told together at its end, in rounds: the parents that are given up have
ended themselves, and are told in the next one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from tidewheel._model.graph import Edge, ended_edge, gives_up, goes_on
from tidewheel._model.job import ErrorInfo, NewJob
from tidewheel._model.worker import Wakeup
from tidewheel._store.children import no_child
from tidewheel._store.sqlite.insert import insert, insert_on_dead
from tidewheel._store.sqlite.rows import error_of, keys, state_of, text
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

_LOOK_AT: Final = 1000


class Family:
    """Tells the jobs that end in one call to those that wait for them. `tell` comes last."""

    def __init__(self, tx: Transaction, new_id: Callable[[], str], now: int) -> None:
        self.tx = tx
        self.new_id = new_id
        self.now = now
        self._ended: list[str] = []

    # -- children that end

    def ended(self, *ids: str) -> None:
        """These have come to their end, and somebody may wait for it."""
        self._ended += ids

    def find_untold(self) -> None:
        """Look for ends that nobody told, a few in each sweep."""
        self._ended += keys(self.tx.connection, statement("graph_untold"), (_LOOK_AT,))

    def tell(self) -> None:
        """Write the ends into the edges; let parents start, or give them up."""
        while self._ended:
            ended, self._ended = text(self._ended), []
            self._round(ended)

    def _round(self, ended: str) -> None:
        execute = self.tx.connection.execute
        edges = [_edge(row) for row in execute(statement("graph_ends"), (ended,))]
        if not edges:
            return
        execute(statement("graph_end"), (ended,))
        execute(statement("graph_remove"), (ended,))
        told = {parent: list(some) for parent, some in groupby(edges, attrgetter("parent"))}
        released: list[int] = []
        for row in execute(statement("graph_parents"), (text(list(told)),)).fetchall():
            id, seq, queue, run_at, keep_failed, on_dead, awaited, waits = row
            if why := gives_up(told[id]):
                self._give_up(seq, why, keep_failed)
                insert_on_dead(self.tx, on_dead, dead_id=id, queue=queue, new_id=self.new_id, now=self.now)
                if awaited:
                    self.ended(id)
            elif not waits or goes_on(told[id]):
                released.append(seq)
                self.tx.hints.add(Wakeup.DUE if run_at > self.now else Wakeup.WORK)
        if released:
            execute(statement("graph_release"), (self.now, text(released)))

    def _give_up(self, seq: int, why: ErrorInfo, keep_failed: int | None) -> None:
        prune_at = None if keep_failed is None else self.now + keep_failed
        self.tx.connection.execute(statement("graph_give_up"), (self.now, prune_at, text(why), seq))
        self.tx.hints.add(Wakeup.SETTLED)

    # -- parents that come or come back

    def insert(self, job: NewJob, named: Sequence[Edge]) -> None:
        """Add a job that waits for others, each named once. Neither its id nor its unique key clashes.

        Raises:
            ValueError: one of them does not exist.
        """
        execute = self.tx.connection.execute
        children = {row[0]: row for row in execute(statement("graph_children"), (text([one.child for one in named]),))}
        edges, waits = list[Edge](), list[str]()
        for edge in named:
            if edge.child not in children:
                raise no_child(job.id, edge.child)
            _, word, error, ended = children[edge.child]
            known = ended_edge(edge, state_of(word)[0], None, _error(error)) if ended else edge
            edges += [known] if known else []
            waits += [] if ended else [edge.child]
        insert(self.tx, [job], self.now)
        added = [(edge.child, edge.place, edge.on_failure) for edge in edges]
        execute(statement("graph_add"), (job.id, text(added)))
        execute(statement("graph_await"), (text(waits),))
        over = [edge for edge in edges if edge.state is not None]
        if why := gives_up(over):
            (seq,) = execute("SELECT seq FROM tidewheel_jobs WHERE id = ?", (job.id,)).fetchone()
            self._give_up(seq, why, job.keep_failed)
            insert_on_dead(self.tx, job.on_dead, dead_id=job.id, queue=job.queue, new_id=self.new_id, now=self.now)
        elif waits and not goes_on(over):
            execute(statement("graph_park"), (job.id,))

    def waits(self, parent: str) -> bool:
        """Whether a child of it has not ended."""
        return bool(self.tx.connection.execute(statement("graph_waits"), (parent,)).fetchone()[0])

    def reopen(self, child: str, seq: int) -> None:
        """A child is retried: who waits still waits for it, too."""
        if self.tx.connection.execute(statement("graph_reopen"), (child,)).rowcount:
            self.tx.connection.execute("UPDATE tidewheel_jobs SET awaited = 1 WHERE seq = ?", (seq,))


def edges(connection: sqlite3.Connection, ids: Sequence[str]) -> list[Edge]:
    """See `GraphStore.edges`."""
    return [_edge(row) for row in connection.execute(statement("graph_list"), (text(ids),))]


def _edge(row: Sequence[Any]) -> Edge:
    parent, child, place, on_failure, state, result, error = row
    known = None if state is None else state_of(state)[0]
    return Edge(parent, child, on_failure, known, result, _error(error), place)


def _error(value: bytes | None) -> ErrorInfo | None:
    """An error that may be damaged."""
    return None if value is None else error_of(value.decode(errors="replace"))
