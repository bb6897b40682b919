"""What a store does. This file is the specification: every store obeys it, the conformance suite checks it.

Rules for all operations

* Batches in, batches out; answers come in the order of the questions.
* Every call is atomic: all of it happened or none of it, also when the process dies in the middle.
* Every call may be repeated after a lost reply. What was done already is answered again, not done twice.
* Times are integer microseconds since 1970. `now=None` means the store's own clock; tests pass a value.
* A worker's write names its lease, `(job_id, epoch)`. A lost lease is an *answer*, never an exception.
* The only exceptions are `StoreUnavailable` and `StoreFull` (repeat later) and `StoreError` (do not).
* A row the store cannot decode is set aside (discarded with the reason) and never stops its neighbours.

Words: a job is *due* when `run_at <= now`; a lease is *over* when `lease_until <= now`; a kept job's time is
over when `finished_at + keep <= now`. The order of the enqueue is the order in which the store took the jobs,
whatever its clock said.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn, Protocol, runtime_checkable

from tidewheel._model.graph import Edge
from tidewheel._model.job import Claimed, History, Job, NewJob
from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow
from tidewheel._model.outcome import Settlement
from tidewheel._model.query import (
    Accepted,
    Action,
    Altered,
    Enqueued,
    JobFilter,
    Page,
    StoreInfo,
    SweepReport,
)
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.retention import RetentionRule
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo, WorkerRow


class Heard(Protocol):
    """Hints as they come: an endless iterator, or calls."""

    def __aiter__(self) -> Heard: ...

    async def __anext__(self) -> frozenset[Wakeup]: ...

    async def tell(self, who: Callable[[frozenset[Wakeup]], None]) -> NoReturn:
        """Call `who` with every hint from now on, in the moment it comes: somebody may wait for it, and a task that waits for
        the iterator would have to be woken first. It must be quick and raise nothing. Until cancelled.
        """
        ...


class WorkStore(Protocol):
    """The hot path: four operations carry a job from its caller to its end."""

    async def enqueue(self, jobs: Sequence[NewJob], *, now: int | None = None) -> list[Enqueued]:
        """Add jobs.

        A job whose id exists, or whose `unique_key` a live job holds, is not inserted: the answer names
        that job (the id wins when both clash). Jobs of one call see one another. A conflict concerns its
        own job only. A job with `run_at` (or now + `delay`) in the future starts as scheduled, any other
        as available; its `run_at` is the one given, or now when neither was.

        Then, for a job that neither clashes with: its `rule` asks for its key (`desk.judge`), and the job that holds it may
        answer, be changed or be cancelled; then its `backlog` is counted, and it is refused, or the first enqueued
        of those that wait is cancelled, when there are as many as may be. Who is refused takes no key. Of two jobs of one
        call the second sees what the first did. What a rule or a backlog cancels has the error `tidewheel.Replaced` or
        `tidewheel.Dropped`; a running job is only asked to stop, as by `alter`.
        A job that may run at once has the place `due - lead` in the line (its `run_at`), or, with `fair` and when it is not
        lifo, its tenant's turn (`desk.turn`; head: the first place of the available, not lifo jobs of its queue and
        priority). One that comes into the line later, because its time has come, because its children have ended or by
        `alter`, has `due - lead` from then on.
        A job with `expires_in` expires that long after now, and has a `flow`, an empty one when none was given.
        A job that waits `after` others is parked under `CHILDREN` until all of them have ended, from the enqueue on if
        one has not. An id among them that this call answered with another job's id means that job. One that ended before
        counts as ended now.

        Raises:
            ValueError: a job waits for one that does not exist, for itself, or for more than `MAX_BATCH`. Nothing of the
                call is in.
        """
        ...

    async def claim(
        self,
        wants: Sequence[Want],
        *,
        kinds: Sequence[str],
        worker: str,
        lease: int,
        last_life: bool = True,
        now: int | None = None,
    ) -> list[Claimed]:
        """Hand out available jobs of the wanted queues whose kind is among `kinds`, under leases of
        `lease` microseconds.

        Never more than `slots` of a queue, none of a paused queue. Within a queue: by priority (smallest
        first), then by `run_at`, then in the order of the enqueue; lifo jobs before the others of their
        priority, in the opposite order (latest `run_at` first, then the last enqueued). The answer has the
        wants in their order, each in the order of its queue; one call names a queue once.
        Of the jobs on their last life (`on_last_life`) one call hands out at most one, the first of the first
        queue that has any, before the other jobs of that queue; none when `last_life` is False. So a worker can
        see to it that these run one at a time, and who kills it now takes no other suspect with it.
        Each claimed job is running, its `attempt` one higher and its `epoch`, too. (A store whose server may have
        forgotten claims raises the epoch by more: no lease is ever handed out twice.)
        A lost reply costs one lease time, no more.

        A job with a `flow` must pass its gates, all of them or none: if each has room it starts and takes its
        share of each, else it is *parked* under the first that has none and the claim goes on in the line, until
        the slots are filled. So a parked job is in no line, and a gate that is shut costs the next claim nothing.
        A gate that has jobs parked under it and room lets as many of them back into the line, at the place they
        had, as it has room for, for each queue and kind in the order of the line: after a claim, when an attempt
        ends, when the clock opens it (`sweep`) and when its limit is changed. They stay marked (`parked_by`)
        until a claim takes them.
        A limit that nobody declared is shut. A job that has expired is parked under `EXPIRED`, before its gates are asked.
        """
        ...

    async def beat(
        self, info: WorkerInfo, beats: Sequence[LeaseBeat], *, lease: int, now: int | None = None
    ) -> list[BeatAnswer]:
        """Say that a worker lives, extend its leases to `now + lease`, write progress and log lines.
        A worker that says it has `stopped` is forgotten at once, like one that was silent for long.

        A lease that was over but not yet rescued is extended: nobody else has the job. A lost lease
        writes nothing. Of the log lines of a job the newest `LOG_LINES` are kept, in the order they came.
        (Log lines are the one thing a repeat after a lost reply may write again: they are for people.)
        """
        ...

    async def settle(self, settlements: Sequence[Settlement], *, now: int | None = None) -> list[Accepted]:
        """Write how attempts ended.

        * Complete → completed, result kept. Cancelled → cancelled. Discarded → discarded, error kept.
        * RetryLater → retryable, due at `now + after`, error kept. If a cancel was requested: cancelled.
        * Snoozed → scheduled at `now + after`, attempt - 1. If a cancel was requested: cancelled.
        * Released → available, attempt - 1, at the place in line it had. If a cancel was requested: cancelled.

        A stale lease (other epoch, not running, or no such job) changes nothing and is answered STALE,
        except the repeat of a settlement that was accepted: the job is not running any more and its epoch
        is still the lease's, so it is answered ACCEPTED and nothing is doubled. (A rescue raises the epoch,
        so what a rescue took away answers STALE.)
        Final states free the unique key, and a discard enqueues the `on_dead` job in the same atom.
        Everything but Complete leaves an attempt record, with the number the attempt had; where a requested
        cancel won, its word is `cancel`. The error of a RetryLater is kept then, too. A reason that is not
        empty is the record's error (`tidewheel.Cancelled`, `tidewheel.Released`), not the row's.
        An attempt that ends, however and by whom, gives its slots back. A RetryLater that `hold`s limits shuts the
        gates by which the job passed them until its time is over.
        A job that comes to a final state, here or by any other operation, is told to the jobs that wait for it, in the same
        atom: completed counts as ended; of cancelled, discarded and deleted ones the parent's `on_failure` decides. A
        parent that waits for nobody any more is available, or scheduled if its time has not come; one that is given up
        (`graph.child_failed`, with its `on_dead` job) is told to its own parents.
        Whatever ends an attempt clears `cancel_requested`. Of several settlements of one lease in a call
        the first counts and the others are its repeats. `_model/transition.py` has all this as functions.
        """
        ...


class UpkeepStore(Protocol):
    """What keeps the store healthy. Any worker may do it, at any time, together with others."""

    async def sweep(
        self,
        *,
        limit: int = 1000,
        retention: Sequence[RetentionRule] = (),
        worker_gone_after: int = 90_000_000,
        now: int | None = None,
    ) -> SweepReport:
        """End jobs that expired, open gates, promote due jobs, rescue jobs whose lease is over, forget workers silent for
        `worker_gone_after`, prune finished jobs, in this order; at most `limit` rows of each sort, those first that are
        overdue longest. `more` says that one of the sorts reached its limit.

        Expire: jobs that wait, for whatever, and whose `expires_at` has come are cancelled (error `tidewheel.Expired`).
        Open: a gate whose `opens_at` has come lets as many parked jobs into the line as it has room for.
        With `retention`, and not oftener than that, gates that nobody would miss are forgotten, and the slots in
        use are counted anew.

        Promote: available, with the `run_at` it had, less its `lead`.
        Rescue: epoch + 1, crashes + 1 and an attempt record (with the epoch that was lost) with outcome
        `rescue`. Then, in this order: a requested cancel → cancelled; `crashes >= max_crashes` → discarded
        (`tidewheel.Crashed`); `attempt >= max_attempts` → discarded (`tidewheel.LeaseExpired`); else
        available again at once, at the place in line it had. The report counts each rescued job once:
        as `rescued` (available again), in `discarded`, or as `cancelled`.
        A discard enqueues the `on_dead` job. A worker with a running job is not forgotten.
        Prune: jobs whose own `keep_*` time is over; then, for the (queue, kind) pairs that a rule names
        (the first rule that matches counts), the oldest to end beyond `count` and those whose `age` is
        over; completed jobs by themselves, cancelled and discarded ones together. A job with its own
        `keep_*` time for the state it is in is no business of the rules: it is neither pruned by nor
        counted for them. Logs and attempt records go with their job.
        """
        ...

    def wakeups(self, interest: frozenset[Wakeup] = frozenset(Wakeup)) -> AbstractAsyncContextManager[Heard]:
        """Listen for hints of the kinds of `interest`:
        `async with store.wakeups() as hints: async for kinds in hints: ...`.

        Lossy by contract: hints are merged, may be lost and may come for nothing, so polling must
        suffice. What was hinted after `__aenter__` returned and before the iterator is asked is not lost.
        A job that becomes available hints WORK, one that gets a later time DUE, one that ends SETTLED, a
        cancel of a running job and a stored queue setting CONTROL. The iterator never ends by itself.
        """
        ...


class AdminStore(Protocol):
    """What people and dashboards ask."""

    async def get(self, ids: Sequence[str]) -> builtins.list[Job | None]:
        """The jobs, or None where there is none."""
        ...

    async def list(self, where: JobFilter, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Jobs that match, newest enqueued first. The cursor stays valid while jobs come and go.

        `enqueued_after` takes its own moment in, `enqueued_before` and `finished_before` leave theirs out;
        a job that has not ended was not finished before anything. `next` is None when nothing more matches.

        Raises:
            ValueError: `limit` not in 1..1000, or a cursor this store did not make.
        """
        ...

    async def history(self, job_id: str) -> History | None:
        """The job, its attempts that did not simply complete, and its log lines; None if there is no such job."""
        ...

    async def alter(
        self, ids: Sequence[str] | JobFilter, action: Action, *, limit: int = 1000, now: int | None = None
    ) -> builtins.list[Altered]:
        """Cancel, retry, run now or delete jobs, by ids or by a filter (oldest enqueued first, at most `limit`).

        Rows that the action does not apply to stay as they are and are answered with `before == after`
        (by ids) or left out and not counted (by filter). Retry clears attempt, crashes, result, progress,
        error, `expires_at` and `finished_at`, keeps the epoch and the history, and is refused (before == after) while a
        live job holds the unique key; so of two final jobs with one key the first is retried. Retry and
        run-now put the job at `run_at = now`, less its `lead`. Cancel of a running job sets `cancel_requested` and is
        answered with `before == after` and `cancel_requested`, which no other action answers; a filter
        leaves out the jobs asked already. Run-now does not apply to parked jobs: limits bind everybody.
        A parent that is retried is parked under `CHILDREN` while one of its children has not ended; a child that is retried
        counts as not ended for the parents that wait still.
        When a job goes that a gate had let into the line, that gate is looked at by the next sweep.
        An id that is named twice is answered twice, the second time as the first left it.

        Raises:
            ValueError: an empty filter.
        """
        ...

    async def put_queues(self, settings: Sequence[QueueSettings]) -> builtins.list[QueueSettings]:
        """Store settings, new or changed; gives back what is stored. Queues not named stay as they are."""
        ...

    async def queues(self) -> builtins.list[QueueStats]:
        """Every queue that has settings or jobs, by name, with counts."""
        ...

    async def workers(self) -> builtins.list[WorkerRow]:
        """The workers that beat and were not forgotten yet, by start time, then by id."""
        ...


class LimitStore(Protocol):
    """Limits: their rules, and the state of their gates."""

    async def put_limits(
        self, rows: Sequence[LimitRow], *, declared: bool, now: int | None = None
    ) -> builtins.list[LimitRow]:
        """Store rules, new or changed: with `declared` that field of each row, else the operator's (None takes his
        word back); the other one stays. Gives back what is stored. A row that says nothing any more is removed.

        What waits at a gate of a limit that changed is looked at by the next sweep, which is hinted (DUE, CONTROL).
        """
        ...

    async def limits(self) -> builtins.list[LimitRow]:
        """All limits that have a rule, by name."""
        ...

    async def gates(
        self, *, limits: Sequence[str] = (), keys: Sequence[str] = (), limit: int = 100, now: int | None = None
    ) -> builtins.list[GateRow]:
        """Gates by their keys' order: those of the named limits and those named; all of them when nothing is named.
        Only gates that somebody passed, waits at, or holds shut are known.

        Raises:
            ValueError: `limit` not in 1..1000.
        """
        ...

    async def hit(self, hits: Sequence[Hit], *, now: int | None = None) -> builtins.list[Allowance]:
        """Ask for starts by hand, one after the other: what a rate has room for is taken from it, the rest is not.
        A repeat after a lost reply takes again: there is no lease to know it by.

        Raises:
            StoreError: a limit is not declared, or is none of rates only. Nothing is taken.
        """
        ...


class GraphStore(Protocol):
    """Jobs that wait for others."""

    async def edges(self, ids: Sequence[str]) -> builtins.list[Edge]:
        """The edges in which one of the jobs is parent or child, each once, by (parent, place). A parent's stay until it
        is pruned or deleted.
        """
        ...


class LifecycleStore(Protocol):
    """Opening, closing, migrating."""

    async def open(self) -> None:
        """Connect; create or migrate the schema when it is older and `migrate=manual` was not asked for.

        Raises:
            SchemaMismatch: the schema is newer than this version, or not ours.
            StoreUnavailable: the database cannot be reached.
            StoreError: it can, but not be used (rights, network file system, damaged file).
        """
        ...

    async def close(self) -> None:
        """Finish what was handed over, then let go. Safe to call twice."""
        ...

    async def migrate(self) -> tuple[int, int]:
        """Bring the schema up to date; gives the version before and after. Safe to repeat and to race."""
        ...

    async def info(self) -> StoreInfo:
        """Version, schema, clock, capabilities."""
        ...

    def sibling(self) -> Any:
        """A store on the same data that another thread's event loop may use at the same time.
        Embedded stores answer themselves; the caller opens and closes only what is not `self`.
        """
        ...


class Store(WorkStore, UpkeepStore, AdminStore, LimitStore, GraphStore, LifecycleStore, Protocol):
    """All of it."""


@runtime_checkable
class JoiningStore(Protocol):
    """What a store whose `info` says `tx` can do besides: its enqueue, inside a transaction of the caller's."""

    async def enqueue_in(
        self, connection: object, jobs: Sequence[NewJob], *, now: int | None = None
    ) -> builtins.list[Enqueued]:
        """`WorkStore.enqueue` over the caller's connection: his commit makes the jobs, his rollback makes none.

        The answers are the same, and true if he commits. Whatever fails, nothing of the call is in his
        transaction, which goes on. The store need not be open. Over a connection of a sync driver nothing
        waits for an event loop, so `_store.caller.drive` runs this without one.

        Raises:
            TypeError: `connection` is none that is accepted.
            StoreError: it leads elsewhere, is closed, or has no transaction open.
            StoreUnavailable: another transaction was in the way; the whole transaction may be repeated.
        """
        ...


LOG_LINES = 1000
"""Log lines kept per job; older ones are dropped first."""
MAX_BATCH = 10_000
"""No store takes more items in one call (a ValueError says so); callers split."""


def check_gates(limit: int) -> None:
    """Refuse what is no number of gates for `LimitStore.gates`.

    Raises:
        ValueError: it is not in 1..1000.
    """
    if not 1 <= limit <= 1000:
        raise ValueError(f"limit={limit}: one call gives 1 to 1000 gates. Name limits or keys to see others.")


def check_batch(count: int) -> None:
    """Refuse a call with more than `MAX_BATCH` items.

    Raises:
        ValueError: there are more.
    """
    if count > MAX_BATCH:
        raise ValueError(f"{count:,} items in one call of the store; it takes at most {MAX_BATCH:,}. Split them.")
