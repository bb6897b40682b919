"""The sweep as a function of a transaction: end jobs that expired, open gates, promote, rescue, forget workers, prune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tidewheel._model.flow import readable
from tidewheel._model.query import SweepReport
from tidewheel._model.retention import RetentionRule, rule_for
from tidewheel._model.state import JobState
from tidewheel._model.transition import EXPIRED_ERROR, rescue_of
from tidewheel._model.worker import Wakeup
from tidewheel._store.sqlite.endings import cancel, finish, follow, record
from tidewheel._store.sqlite.gates import Gates
from tidewheel._store.sqlite.graphs import Family
from tidewheel._store.sqlite.keys import tidy
from tidewheel._store.sqlite.recount import forget, recount
from tidewheel._store.sqlite.rows import keys, seqs, text
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

_SOON: Final = 250_000
"""Microseconds until the next look at leases that a patient sweep left alone."""


def sweep(
    tx: Transaction,
    *,
    limit: int,
    retention: Sequence[RetentionRule],
    gone_after: int,
    new_id: Callable[[], str],
    now: int,
) -> SweepReport:
    """See `UpkeepStore.sweep`."""
    family = Family(tx, new_id, now)
    expired = _expire(tx, family, limit)
    if retention:
        family.find_untold()
    family.tell()
    gates = Gates(tx, now)
    opening = keys(tx.connection, statement("gates_due"), (now, limit))
    gates.touch(opening)
    opened = gates.finish()
    promoted = tx.connection.execute(statement("sweep_promote"), (now, limit)).rowcount
    if promoted:
        tx.hints.add(Wakeup.WORK)
    rescued, discarded, cancelled = 0, list[str](), 0
    # When nobody could write for long, nobody could extend a lease either: those who live get the time for a beat.
    patient = tx.stall.length > gone_after / 6_000_000 > tx.stall.ago
    if not patient:
        rescued, discarded, cancelled = _rescue(tx, gates, family, limit)
        family.tell()
        opened += gates.finish()
    gone = sorted(tx.connection.execute(statement("sweep_workers"), (now - gone_after, limit)).fetchall())
    pruned = _prune(tx, retention, limit, now)
    idle = False
    if retention:
        recount(tx, gates)
        opened += gates.finish()
        idle = forget(tx, gates, now)
        idle |= tidy(tx, now)
    due = tx.connection.execute(statement("sweep_next_due")).fetchone()[0]
    return SweepReport(
        promoted=promoted,
        rescued=rescued,
        discarded=tuple(discarded),
        cancelled=cancelled,
        workers_gone=tuple(id for _, id in gone),
        pruned=pruned,
        opened=opened,
        expired=expired,
        now=now,
        more=max(expired, len(opening), promoted, rescued + len(discarded) + cancelled, len(gone), pruned) >= limit
        or idle,
        next_due_at=max(due, now + _SOON) if patient and due is not None else due,
    )


def _expire(tx: Transaction, family: Family, limit: int) -> int:
    over = tx.connection.execute(statement("sweep_expire"), (family.now, limit)).fetchall()
    for job in over:
        cancel(family, job, EXPIRED_ERROR)
    return len(over)


def _rescue(tx: Transaction, gates: Gates, family: Family, limit: int) -> tuple[int, list[str], int]:
    now = family.now
    rescued, discarded, cancelled = 0, [], 0
    for row in tx.connection.execute(statement("sweep_expired"), (now, limit)).fetchall():
        seq, id, epoch, attempt, max_attempts, crashes, max_crashes, *found = row
        queue, worker, started_at, stop, keep, dead, value, awaited = found
        ending = rescue_of(
            attempt=attempt,
            max_attempts=max_attempts,
            crashes=crashes,
            max_crashes=max_crashes,
            run_at=0,
            cancel_requested=bool(stop),
        )
        tx.connection.execute(statement("sweep_rescue"), (ending.state, *finish(ending, keep, now), seq))
        record(tx, seq, ending, (epoch, attempt, worker, started_at), now)
        follow(tx, ending, job_id=id, queue=queue, on_dead=dead, new_id=family.new_id, now=now)
        if flow := readable(value):
            gates.give_back(flow, None, job=seq, final=ending.state.final)
        if awaited and ending.state.final:
            family.ended(id)
        if ending.state is JobState.DISCARDED:
            discarded.append(id)
        elif ending.state is JobState.CANCELLED:
            cancelled += 1
        else:
            rescued += 1
    return rescued, discarded, cancelled


def _prune(tx: Transaction, rules: Sequence[RetentionRule], limit: int, now: int) -> int:
    pruned = delete(tx, seqs(tx.connection, statement("prune_own"), (now, limit)))
    found = (b"", b"") if rules else None
    while found is not None and pruned < limit:
        found = tx.connection.execute(statement("prune_group"), (*found, found[0])).fetchone()
        group = tuple(name.decode(errors="replace") for name in found or ())
        retention = rule_for(rules, *group) if group else None
        if retention is not None:
            for completed, keep in ((1, retention.completed), (0, retention.failed)):
                if keep.count is not None:
                    bound = tx.connection.execute(statement("prune_beyond"), (*group, completed, keep.count)).fetchone()
                    if bound is not None:
                        pruned += _prune_until(tx, (*group, completed, *bound, limit - pruned))
                if keep.age is not None:
                    pruned += _prune_until(tx, (*group, completed, now - keep.age + 1, 0, limit - pruned))
    return pruned


def _prune_until(tx: Transaction, parameters: tuple[Any, ...]) -> int:
    return delete(tx, seqs(tx.connection, statement("prune_older"), parameters))


def delete(tx: Transaction, found: Sequence[int]) -> int:
    """Remove jobs with their history."""
    if found:
        listed = (text(found),)
        for name in ("delete_attempts", "delete_logs", "delete_edges", "delete_jobs"):
            tx.connection.execute(statement(name), listed)
    return len(found)
