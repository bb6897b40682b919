"""The hot path as functions of a transaction: claim, beat, settle. For the enqueue see `enqueue.py`.

Each statement handles a whole batch inside SQLite, which works without the interpreter lock; a batch as a
loop of single statements would wait for that lock once a row.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from tidewheel._model.flow import readable
from tidewheel._model.job import Claimed, ErrorInfo, Lease, LogLine
from tidewheel._model.outcome import Complete, Outcome, Settlement
from tidewheel._model.query import Accepted
from tidewheel._model.transition import ending_of
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo
from tidewheel._store.base import LOG_LINES
from tidewheel._store.sqlite.calm import Picked
from tidewheel._store.sqlite.endings import finish, follow, record
from tidewheel._store.sqlite.gates import PARKED_MOST, Gates, slots_of
from tidewheel._store.sqlite.graphs import Family
from tidewheel._store.sqlite.rows import keys, listed, seqs, text
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

_LOOK_MOST: Final = 4096
_REMEMBERED: Final = 20_000
"""Leases whose slots a process remembers."""
_claimed: Final = msgspec.json.Decoder(list[Claimed])
_leases: Final = msgspec.json.Decoder(set[tuple[str, int]])
_held: Final = msgspec.json.Decoder(list[tuple[str, int, int, int]])
_seqs: Final = msgspec.json.Decoder(list[int])
_lease: Final = attrgetter("id", "epoch")
_picked: Final = msgspec.json.Decoder(list[Picked])
_flows: Final = msgspec.json.Decoder(list[str])


class Habit:
    """What most jobs were like that this process had in hand last: the next ones are looked at as such. And what those hold
    that it claimed: the end of an attempt need not ask. It is quicker when that is right, and as good when it is not.
    """

    def __init__(self) -> None:
        self.claims_limited = False
        self.settles_limited = False
        self._slots: dict[tuple[str, int], tuple[str, ...] | None] = {}

    def remember(self, claimed: Sequence[Claimed], slots: Sequence[tuple[str, ...] | None]) -> None:
        """The gates that these attempts hold slots of, which does not change while they run. None: that is not all."""
        self._slots.update(zip(map(_lease, claimed), slots, strict=True))
        while len(self._slots) > _REMEMBERED:  # leases that were lost
            del self._slots[next(iter(self._slots))]

    def recall(self, done: Sequence[Settlement]) -> list[tuple[str, ...]] | None:
        """What these attempts hold, all of them; None when of one nobody knows here."""
        found = [self._slots.pop(one.lease, None) for one in done]
        known = [slots for slots in found if slots is not None]
        return known if len(known) == len(found) else None


def claim(
    tx: Transaction,
    wants: Sequence[Want],
    *,
    kinds: Sequence[str],
    worker: str,
    lease: int,
    last_life: bool,
    habit: Habit,
    new_id: Callable[[], str],
    now: int,
) -> list[Claimed]:
    """See `WorkStore.claim`."""
    known = text(kinds)
    family = Family(tx, new_id, now)
    counter = _Counter(tx, habit, family, (now, now + lease, worker))
    claimed: list[Claimed] = []
    for want in wants:
        slots = want.slots
        if last_life and slots > 0:
            suspects = counter.serve((want.queue, True, known), 1)
            claimed += suspects
            if suspects:
                slots, last_life = slots - 1, False
        claimed += counter.serve((want.queue, False, known), slots)
    family.tell()
    counter.gates.finish()
    return claimed


class _Round(NamedTuple):
    """What became of a piece of a line."""

    seqs: str
    """Those that started, as JSON."""
    started: int
    picked: int
    take: Sequence[int] = ()
    """Those that started, when it was asked what they must pass."""


class _Counter:
    """Hands out jobs, in one call."""

    def __init__(self, tx: Transaction, habit: Habit, family: Family, lease: tuple[int, int, str]) -> None:
        self._tx = tx
        self._habit = habit
        self._family = family
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
            claimed += self._read(found) if found.started else []
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
            self._habit.claims_limited = 2 * sum(row[1] is not None for row in rows) >= len(rows)
        started = self._judge(rows, damaged, slots)
        return _Round(text(started), len(started), len(rows) + len(damaged), started)

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

    def _read(self, found: _Round) -> list[Claimed]:
        try:
            rows = self._tx.connection.execute(statement("claim_read"), (self._now, found.seqs)).fetchone()[0]
            claimed = _claimed.decode(rows)
        except Exception:  # noqa: BLE001 -- whatever a damaged row makes of itself, its neighbours must run
            return self._read_each(found.seqs)
        if found.take:
            self._habit.remember(claimed, self.gates.slots(found.take))
        return claimed

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
        asked = "SELECT id, parked_by, awaited FROM tidewheel_jobs WHERE seq = ?"
        id, by, awaited = self._tx.connection.execute(asked, (seq,)).fetchone()
        if by is not None:
            self.gates.touch([by])
        if awaited:
            self._family.ended(id)
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
    gates, family = Gates(tx, now), Family(tx, new_id, now)
    done = [(one, one.outcome.result) for one in first if isinstance(one.outcome, Complete)]
    written = _complete(family, done, gates, habit) if done else set()
    for one in first:
        if not isinstance(one.outcome, Complete) and _settle_other(family, one, gates):
            written.add(one.lease)
    family.tell()
    gates.finish()
    return [Accepted.ACCEPTED if one.lease in written else Accepted.STALE for one in settlements]


def _complete(
    family: Family, done: Sequence[tuple[Settlement, str]], gates: Gates, habit: Habit
) -> set[tuple[str, int]]:
    tx = family.tx
    rows = text([(*one.lease, result, one.progress) for one, result in done])
    for one, _ in done:
        if one.logs:
            _late_logs(tx, one)
    count = 0
    if not habit.settles_limited:
        count = _completed(family, rows)
    elif slots := habit.recall([one for one, _ in done]):
        count = _complete_all(family, rows)
        if count < len(done):  # none, or those that are not gone
            known = _known(tx, [one for one, _ in done]) if count else ()
            slots = [held for (one, _), held in zip(done, slots, strict=True) if one.lease in known]
        gates.free([*chain.from_iterable(slots)], done=True)
    if count < len(done):  # the others have limits, or somebody waits for them, or their lease is lost
        count += _complete_others(family, rows, [one.lease for one, _ in done], gates, habit)
    if count:
        tx.hints.add(Wakeup.SETTLED)
    if count == len(done):
        return {one.lease for one, _ in done}
    return _known(tx, [one for one, _ in done])


def _completed(family: Family, rows: str, *, limited: bool = False) -> int:
    """Complete jobs; gives how many."""
    return family.tx.connection.execute(statement("settle_complete"), (family.now, rows, limited)).rowcount


def _complete_all(family: Family, rows: str) -> int:
    """Complete jobs of which nothing else is to be told: all of them that are there, or none."""
    try:
        return family.tx.connection.execute(statement("settle_all"), (family.now, rows)).rowcount
    except sqlite3.IntegrityError:
        return 0


def _complete_others(family: Family, rows: str, leases: list[Lease], gates: Gates, habit: Habit) -> int:
    damaged: list[Any] = []
    held = listed(family.tx.connection, "gates_held", _flows, leases, damaged)
    awaited = keys(family.tx.connection, statement("settle_awaited"), (text(leases),))
    count = _completed(family, rows, limited=True) if held or damaged or awaited or habit.settles_limited else 0
    family.ended(*awaited)
    habit.settles_limited = 2 * len(held) >= len(leases)
    flows = [(readable(value), times) for value, times in Counter(held).items()]
    for flow, times in flows:
        gates.free(slots_of(flow) * times, done=True)
    if turns := [turn.key for flow, _ in flows if flow and (turn := flow.ordered)]:
        gates.ended(leases, turns)
    return count


def _known(tx: Transaction, settlements: Sequence[Settlement]) -> set[tuple[str, int]]:
    asked = text([one.lease for one in settlements])
    return _leases.decode(tx.connection.execute(statement("settle_known"), (asked,)).fetchone()[0])


def _settle_other(family: Family, one: Settlement, gates: Gates) -> bool:
    tx, now = family.tx, family.now
    row = tx.connection.execute(statement("settle_row"), one.lease).fetchone()
    if row is None:
        return bool(_known(tx, [one]))
    seq, queue, attempt, worker, started_at, run_at, cancel, keep_failed, on_dead, value, awaited = row
    outcome: Outcome = one.outcome
    ending = ending_of(outcome, attempt=attempt, run_at=run_at, cancel_requested=bool(cancel), now=now)
    add_logs(tx, seq, one.logs)
    tx.connection.execute(
        statement("settle_other"),
        (ending.state, ending.attempt, ending.run_at, *finish(ending, keep_failed, now), one.progress, seq),
    )
    record(tx, seq, ending, (one.lease.epoch, attempt, worker, started_at), now)
    if awaited and ending.state.final:
        family.ended(one.lease.job_id)
    follow(tx, ending, job_id=one.lease.job_id, queue=queue, on_dead=on_dead, new_id=family.new_id, now=now)
    flow = readable(value)
    if flow is not None:
        gates.give_back(flow, outcome, job=seq, final=ending.state.final)
    return True


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
