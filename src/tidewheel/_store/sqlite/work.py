"""The hot path as functions of a transaction: enqueue, claim, beat, settle.

Each statement handles a whole batch inside SQLite, which works without the interpreter lock; a batch as a
loop of single statements would wait for that lock once a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from tidewheel._model.flow import readable
from tidewheel._model.job import Claimed, ErrorInfo, LogLine, NewJob
from tidewheel._model.outcome import Complete, Outcome, RetryLater, Settlement
from tidewheel._model.query import Accepted, Enqueued
from tidewheel._model.state import JobState
from tidewheel._model.transition import Ending, ending_of, on_dead_job, wakeup_for
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo
from tidewheel._store.base import LOG_LINES
from tidewheel._store.sqlite.gates import PARKED_MOST, Gates, Picked
from tidewheel._store.sqlite.rows import STATE, listed, new_row, seqs, text
from tidewheel._store.sqlite.sql import rows_statement, statement
from tidewheel._store.sqlite.writer import Transaction

_CHUNKS: Final = (1024, 128, 16, 4, 1)  # few different lengths, so that SQLite compiles few statements
_HINT: Final = {"available": Wakeup.WORK, "scheduled": Wakeup.DUE}
_LOOK_MOST: Final = 4096
_claimed: Final = msgspec.json.Decoder(list[Claimed])
_leases: Final = msgspec.json.Decoder(set[tuple[str, int]])
_held: Final = msgspec.json.Decoder(list[tuple[str, int, int, int]])
_seqs: Final = msgspec.json.Decoder(list[int])
_picked: Final = msgspec.json.Decoder(list[Picked])
_flows: Final = msgspec.json.Decoder(list[str])


def enqueue(tx: Transaction, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
    """See `WorkStore.enqueue`."""
    answers: list[Enqueued] = []
    start, left = 0, len(jobs)
    while left:
        size = next(size for size in _CHUNKS if size <= left)
        answers += _enqueue_chunk(tx, jobs[start : start + size], now)
        start, left = start + size, left - size
    return answers


def _enqueue_chunk(tx: Transaction, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
    last = tx.connection.execute("SELECT max(seq) FROM tidewheel_jobs").fetchone()[0] or 0
    # Jobs of one call have much in common. A value that all share is bound once: binding is the larger part of
    # the work otherwise.
    columns = list(zip(*[new_row(job, now) for job in jobs], strict=True))
    same = tuple([column.count(column[0]) == len(jobs) for column in columns])
    parameters = [column[0] for column, one in zip(columns, same, strict=True) if one]
    own = [column for column, one in zip(columns, same, strict=True) if not one]
    parameters.extend(chain.from_iterable(zip(*own, strict=True)))
    tx.hints.update(_HINT[state] for state in set(columns[STATE]))
    added = tx.connection.execute(rows_statement("enqueue", same, len(jobs)), parameters).rowcount
    if added == len(jobs):
        return [Enqueued(job.id, inserted=True) for job in jobs]
    if len(jobs) == 1:
        return [_holder(tx, jobs[0])]
    # Some clash, perhaps with each other. Which ones depends on the order: take the chunk back, add one by one.
    tx.connection.execute("DELETE FROM tidewheel_jobs WHERE seq > ?", (last,))
    return [answer for job in jobs for answer in _enqueue_chunk(tx, [job], now)]


def _holder(tx: Transaction, job: NewJob) -> Enqueued:
    """The job that holds the id or the unique key of one that was left out."""
    find = tx.connection.execute
    row = find("SELECT id, state FROM tidewheel_jobs WHERE id = ?", (job.id,)).fetchone()
    holder, state = row or find(statement("enqueue_holder"), (job.unique_key,)).fetchone()
    return Enqueued(holder, inserted=False, state=JobState(state))


class Habit:
    """What most jobs were like that this process had in hand last: the next ones are looked at as such. It is quicker when
    that is right, and as good when it is not.
    """

    def __init__(self) -> None:
        self.claims_limited = False
        self.settles_limited = False


def claim(
    tx: Transaction,
    wants: Sequence[Want],
    *,
    kinds: Sequence[str],
    worker: str,
    lease: int,
    last_life: bool,
    habit: Habit,
    now: int,
) -> list[Claimed]:
    """See `WorkStore.claim`."""
    known = text(kinds)
    counter = _Counter(tx, habit, (now, now + lease, worker))
    claimed: list[Claimed] = []
    for want in wants:
        slots = want.slots
        if last_life and slots > 0:
            suspects = counter.serve((want.queue, True, known), 1)
            claimed += suspects
            if suspects:
                slots, last_life = slots - 1, False
        claimed += counter.serve((want.queue, False, known), slots)
    counter.gates.finish()
    return claimed


class _Round(NamedTuple):
    """What became of a piece of a line."""

    seqs: str
    """Those that started, as JSON."""
    started: int
    picked: int


class _Counter:
    """Hands out jobs, in one call."""

    def __init__(self, tx: Transaction, habit: Habit, lease: tuple[int, int, str]) -> None:
        self._tx = tx
        self._habit = habit
        self._lease = lease
        self._now = lease[0]
        self.gates = Gates(tx, self._now)

    def serve(self, line: tuple[str, bool, str], slots: int) -> list[Claimed]:
        """So many jobs of a line (queue, on their last life?, kinds), as far as their gates let them start."""
        claimed: list[Claimed] = []
        asked = slots
        while slots > 0:
            limited = self._habit.claims_limited or asked > slots
            found = self._limited(line, asked, slots) if limited else self._plain(line, asked)
            claimed += self._read(found.seqs) if found.started else []
            slots -= found.started
            if found.picked < asked:
                break
            if self.gates.parked >= PARKED_MOST:
                self._tx.hints.add(Wakeup.WORK)
                break
            asked = slots if found.started else min(4 * asked, _LOOK_MOST)
        return claimed

    def _plain(self, line: tuple[str, bool, str], asked: int) -> _Round:
        """A piece of a line of which most jobs have no limits. These start, whatever becomes of the others."""
        picked, count = self._tx.connection.execute(statement("claim_pick"), (*line, asked)).fetchone()
        marked = self._mark("claim_mark", picked) if count else 0
        if marked == count:
            return _Round(picked, count, count)
        seqs, damaged = _seqs.decode(picked), list[int]()
        rows = listed(self._tx.connection, "gates_picked", _picked, seqs, damaged)
        self._habit.claims_limited = 2 * len(rows) >= count
        left = set(damaged).union(row[0] for row in rows).difference(self._judge(rows, damaged, asked))
        started = [seq for seq in seqs if seq not in left]
        return _Round(text(started), len(started), count)

    def _limited(self, line: tuple[str, bool, str], asked: int, slots: int) -> _Round:
        """A piece of a line of which most jobs have limits."""
        damaged = list[int]()
        try:
            rows = _picked.decode(self._tx.connection.execute(statement("gates_pick"), (*line, asked)).fetchone()[0])
        except msgspec.MsgspecError:
            picked = self._tx.connection.execute(statement("claim_pick"), (*line, asked)).fetchone()[0]
            rows = listed(self._tx.connection, "gates_picked", _picked, _seqs.decode(picked), damaged)
        if rows:
            self._habit.claims_limited = 2 * sum(flow is not None for _, flow, _ in rows) >= len(rows)
        started = self._judge(rows, damaged, slots)
        return _Round(text(started), len(started), len(rows) + len(damaged))

    def _mark(self, name: str, picked: str) -> int:
        return self._tx.connection.execute(statement(name), (*self._lease, picked)).rowcount

    def _judge(self, rows: Sequence[Picked], damaged: list[int], slots: int) -> list[int]:
        """Put those of these jobs under a lease whose gates let them; gives them in their order."""
        take, unreadable = self.gates.admit(rows, slots)
        if take:
            self._mark("gates_mark", text(take))
        for seq in damaged + unreadable:
            self._set_aside(seq, "its limits cannot be read")
        return take

    def _read(self, picked: str) -> list[Claimed]:
        try:
            found = self._tx.connection.execute(statement("claim_read"), (self._now, picked)).fetchone()[0]
            return _claimed.decode(found)
        except Exception:  # noqa: BLE001 -- whatever a damaged row makes of itself, its neighbours must run
            return self._read_each(picked)

    def _read_each(self, picked: str) -> list[Claimed]:
        """One of these rows cannot be read: set it aside, hand out the others."""
        claimed = []
        for seq in _seqs.decode(picked):
            try:
                found = self._tx.connection.execute(statement("claim_read"), (self._now, f"[{seq}]")).fetchone()[0]
                claimed += _claimed.decode(found)
            except Exception as error:  # noqa: BLE001 -- as above
                self.gates.undo(seq)
                self._set_aside(seq, str(error))
        return claimed

    def _set_aside(self, seq: int, why: str) -> None:
        broken = ErrorInfo("tidewheel.Unreadable", f"The row cannot be read: {why}")
        by = self._tx.connection.execute("SELECT parked_by FROM tidewheel_jobs WHERE seq = ?", (seq,)).fetchone()[0]
        if by is not None:
            self.gates.touch([by])
        self._tx.connection.execute(
            "UPDATE tidewheel_jobs SET state = 'discarded', finished_at = ?, lease_until = NULL, parked_by = NULL, "
            "error = ? WHERE seq = ?",
            (self._now, text(broken), seq),
        )


def beat(tx: Transaction, info: WorkerInfo, beats: Sequence[LeaseBeat], lease: int, now: int) -> list[BeatAnswer]:
    """See `WorkStore.beat`."""
    if info.stopped:
        tx.connection.execute(statement("worker_gone"), (info.id,))
    else:
        tx.connection.execute(statement("worker_seen"), (info.id, text(info), now))
    if not beats:
        return []
    leases = text([(beat.lease.job_id, beat.lease.epoch, beat.progress) for beat in beats])
    tx.connection.execute(statement("beat_extend"), (now + lease, leases))
    found = tx.connection.execute(statement("beat_held"), (leases,)).fetchone()[0]
    held = {(job_id, epoch): (seq, bool(cancel)) for job_id, epoch, seq, cancel in _held.decode(found)}
    answers = []
    for beat in beats:
        seq, cancel = held.get(beat.lease, (0, False))
        if seq:
            add_logs(tx, seq, beat.logs)
            answers.append(BeatAnswer.CANCEL if cancel else BeatAnswer.EXTENDED)
        else:
            answers.append(BeatAnswer.LOST)
    return answers


def settle(
    tx: Transaction, settlements: Sequence[Settlement], new_id: Callable[[], str], habit: Habit, now: int
) -> list[Accepted]:
    """See `WorkStore.settle`."""
    by_lease: dict[tuple[str, int], Settlement] = {}
    for one in settlements:
        by_lease.setdefault(one.lease, one)  # the first counts, the others are its repeats
    first = by_lease.values()
    gates = Gates(tx, now)
    done = [(one, one.outcome.result) for one in first if isinstance(one.outcome, Complete)]
    written = _complete(tx, done, gates, habit, now) if done else set()
    for one in first:
        if not isinstance(one.outcome, Complete) and _settle_other(tx, one, gates, new_id, now):
            written.add(one.lease)
    gates.finish()
    return [Accepted.ACCEPTED if one.lease in written else Accepted.STALE for one in settlements]


def _complete(
    tx: Transaction, done: Sequence[tuple[Settlement, str]], gates: Gates, habit: Habit, now: int
) -> set[tuple[str, int]]:
    rows = text([(*one.lease, result, one.progress) for one, result in done])
    for one, _ in done:
        if one.logs:
            _late_logs(tx, one)
    count = 0
    if not habit.settles_limited:
        count = tx.connection.execute(statement("settle_complete"), (now, rows, False)).rowcount
    if count < len(done):  # the others have limits, or their lease is lost
        damaged: list[Any] = []
        held = listed(tx.connection, "gates_held", _flows, [one.lease for one, _ in done], damaged)
        if held or damaged or habit.settles_limited:
            count += tx.connection.execute(statement("settle_complete"), (now, rows, True)).rowcount
        habit.settles_limited = 2 * len(held) >= len(done)
        for value in held:
            if flow := readable(value):
                gates.give_back(flow)
    if count:
        tx.hints.add(Wakeup.SETTLED)
    if count == len(done):
        return {one.lease for one, _ in done}
    return _known(tx, [one for one, _ in done])


def _known(tx: Transaction, settlements: Sequence[Settlement]) -> set[tuple[str, int]]:
    asked = text([one.lease for one in settlements])
    return _leases.decode(tx.connection.execute(statement("settle_known"), (asked,)).fetchone()[0])


def _settle_other(tx: Transaction, one: Settlement, gates: Gates, new_id: Callable[[], str], now: int) -> bool:
    row = tx.connection.execute(statement("settle_row"), one.lease).fetchone()
    if row is None:
        return bool(_known(tx, [one]))
    seq, queue, attempt, worker, started_at, run_at, cancel, keep_failed, on_dead, value = row
    outcome: Outcome = one.outcome
    ending = ending_of(outcome, attempt=attempt, run_at=run_at, cancel_requested=bool(cancel), now=now)
    add_logs(tx, seq, one.logs)
    tx.connection.execute(
        statement("settle_other"),
        (ending.state, ending.attempt, ending.run_at, *finish(ending, keep_failed, now), one.progress, seq),
    )
    record(tx, seq, ending, (one.lease.epoch, attempt, worker, started_at), now)
    follow(tx, ending, job_id=one.lease.job_id, queue=queue, on_dead=on_dead, new_id=new_id, now=now)
    flow = readable(value)
    if flow is not None and isinstance(outcome, RetryLater):
        gates.give_back(flow, hold=outcome.hold, until=now + outcome.after)
    elif flow is not None:
        gates.give_back(flow)
    return True


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
    if ending.state is JobState.DISCARDED and on_dead is not None:
        enqueue(tx, [on_dead_job(new_id=new_id(), kind=on_dead, dead_id=job_id, queue=queue)], now)


def _late_logs(tx: Transaction, one: Settlement) -> None:
    for seq in seqs(
        tx.connection,
        "SELECT json_group_array(seq) FROM tidewheel_jobs WHERE id = ? AND epoch = ? AND state = 'running'",
        one.lease,
    ):
        add_logs(tx, seq, one.logs)


def add_logs(tx: Transaction, seq: int, lines: Sequence[LogLine]) -> None:
    """Write log lines of a job and drop the oldest beyond `LOG_LINES`."""
    for line in lines[-LOG_LINES:]:
        tx.connection.execute(statement("log_add"), (seq, line.at, line.level, line.message))
    if lines:
        tx.connection.execute(statement("log_trim"), (seq, seq, LOG_LINES))
