"""New jobs into the file, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued
from tidewheel._model.transition import on_dead_job
from tidewheel._model.worker import Wakeup
from tidewheel._store.sqlite.rows import NEW, new_row, state_of
from tidewheel._store.sqlite.sql import rows_statement, statement
from tidewheel._store.sqlite.writer import Transaction

_CHUNKS: Final = (1024, 128, 16, 4, 1)  # few different lengths, so that SQLite compiles few statements
_HINT: Final = {"available": Wakeup.WORK, "scheduled": Wakeup.DUE}


def insert(tx: Transaction, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
    """Add jobs, but for those that clash with an id or a live unique key."""
    answers: list[Enqueued] = []
    start, left = 0, len(jobs)
    while left:
        size = next(size for size in _CHUNKS if size <= left)
        answers += _chunk(tx, jobs[start : start + size], now)
        start, left = start + size, left - size
    return answers


def _chunk(tx: Transaction, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
    last = 0 if len(jobs) == 1 else tx.connection.execute("SELECT max(seq) FROM tidewheel_jobs").fetchone()[0] or 0
    rows = zip(*[new_row(job, now) for job in jobs], strict=True)
    columns: dict[str, tuple[Any, ...]] = dict(zip(NEW, rows, strict=True))
    tx.hints.update(_HINT[state] for state in set(columns["state"]))
    # Jobs of one call have much in common. A value that all share is bound once, and none that is null: binding and
    # writing it is the larger part of the work otherwise.
    shared = {name: column[0] for name, column in columns.items() if column.count(column[0]) == len(jobs)}
    own = {name: column for name, column in columns.items() if name not in shared}
    given = {name: value for name, value in shared.items() if value is not None}
    if "expires_at" in given or "expires_at" in own:
        tx.hints.add(Wakeup.DUE)
    parameters = [*given.values(), *chain.from_iterable(zip(*own.values(), strict=True))]
    sql = rows_statement("enqueue", tuple(given), tuple(own), len(jobs))
    added = tx.connection.execute(sql, parameters).rowcount
    if added == len(jobs):
        return [Enqueued(job.id, inserted=True) for job in jobs]
    if len(jobs) == 1:
        return [clash(tx, jobs[0]) or Enqueued(jobs[0].id, inserted=False)]
    # Some clash, perhaps with each other. Which ones depends on the order: take the chunk back, add one by one.
    tx.connection.execute("DELETE FROM tidewheel_jobs WHERE seq > ?", (last,))
    return [answer for job in jobs for answer in _chunk(tx, [job], now)]


def clash(tx: Transaction, job: NewJob) -> Enqueued | None:
    """The answer for a job that clashes: it names the one that has its id, or the live one that holds its unique key."""
    row = tx.connection.execute(statement("desk_clash"), (job.id, job.unique_key)).fetchone()
    return None if row is None else Enqueued(row[0], inserted=False, state=state_of(row[1])[0])


def insert_on_dead(
    tx: Transaction, kind: str | None, *, dead_id: str, queue: str, new_id: Callable[[], str], now: int
) -> None:
    """Add the job that tells of a dead letter, if one was asked for."""
    if kind is not None:
        insert(tx, [on_dead_job(new_id=new_id(), kind=kind, dead_id=dead_id, queue=queue)], now)
