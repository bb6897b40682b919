"""What the end of an attempt, or of a job, leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tidewheel._model.job import ErrorInfo
from tidewheel._model.state import JobState
from tidewheel._model.transition import Ending, wakeup_for
from tidewheel._model.worker import Wakeup
from tidewheel._store.sqlite.graphs import Family
from tidewheel._store.sqlite.insert import insert_on_dead
from tidewheel._store.sqlite.rows import text
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

Waiting: TypeAlias = Sequence[Any]
"""Of a job that waits: seq, id, state, keep_failed, parked_by, awaited."""


def finish(ending: Ending, keep_failed: int | None, now: int) -> tuple[int | None, int | None, str | None]:
    """(finished_at, prune_at, error) of a row after this ending."""
    finished_at = now if ending.state.final else None
    prune_at = now + keep_failed if ending.state.final and keep_failed is not None else None
    return finished_at, prune_at, None if ending.error is None else text(ending.error)


def record(tx: Transaction, seq: int, ending: Ending, attempt: tuple[Any, ...], now: int) -> None:
    """Keep the record of an attempt; `attempt` is (epoch, attempt, worker, started_at)."""
    if ending.record is not None:
        error = None if ending.record_error is None else text(ending.record_error)
        tx.connection.execute(statement("attempt"), (seq, *attempt, now, ending.record, error))


def follow(
    tx: Transaction,
    ending: Ending,
    *,
    job_id: str,
    queue: str,
    on_dead: str | None,
    new_id: Callable[[], str],
    now: int,
) -> None:
    """What follows from an ending: the hint, and the job that tells of a dead letter."""
    hint = wakeup_for(ending.state)
    if hint is not None:
        tx.hints.add(hint)
    if ending.state is JobState.DISCARDED:
        insert_on_dead(tx, on_dead, dead_id=job_id, queue=queue, new_id=new_id, now=now)


def cancel(family: Family, job: Waiting, error: ErrorInfo | None) -> None:
    """End a job that waits."""
    tx, now = family.tx, family.now
    seq, id, state, keep_failed, parked_by, awaited = job
    leave(tx, seq, state, parked_by, now)
    prune_at = None if keep_failed is None else now + keep_failed
    tx.connection.execute(statement("alter_cancel"), (now, prune_at, None if error is None else text(error), seq))
    tx.hints.add(Wakeup.SETTLED)
    if awaited:
        family.ended(id)


def leave(tx: Transaction, seq: int, state: str, parked_by: str | None, now: int) -> None:
    """A job that waits goes. Where it has its turn, or if a gate had let it in, there is room for another."""
    step_down(tx, seq, now)
    if (
        parked_by is not None
        and state == JobState.AVAILABLE
        and tx.connection.execute(statement("gates_wake"), (now, parked_by)).rowcount
    ):
        tx.hints.add(Wakeup.DUE)


def step_down(tx: Transaction, seq: int, now: int, stays: str | None = None) -> None:
    """A job that waits gives up the place where it has its turn, unless that is the gate at which it stays."""
    if tx.connection.execute(statement("turns_leave"), (now, seq, stays)).rowcount:
        tx.hints.add(Wakeup.DUE)


def ask_to_stop(tx: Transaction, seq: int) -> None:
    """Ask a running job to stop."""
    tx.connection.execute("UPDATE tidewheel_jobs SET cancel_requested = 1 WHERE seq = ?", (seq,))
    tx.hints.add(Wakeup.CONTROL)
