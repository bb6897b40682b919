"""The gates that one call has to do with, inside its transaction: read as they are needed, looked at and written once,
at its end.

The file's write lock is theirs. Who may pass, and how many a gate lets back into the line, says `_model/usher.py`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

import msgspec

from tidewheel._model.flow import EXPIRED, NO_GATES, Flow, readable
from tidewheel._model.gate import Gate, freed, idle_at, succeeded
from tidewheel._model.job import Lease
from tidewheel._model.limit import Rule
from tidewheel._model.outcome import Outcome, RetryLater
from tidewheel._model.usher import Candidate, emptied, ended_by, give_back, leave, limit_of, look, walk
from tidewheel._model.worker import Wakeup
from tidewheel._store.sqlite.calm import Picked, take_slots
from tidewheel._store.sqlite.rows import decoded, keys, listed, seqs, text
from tidewheel._store.sqlite.rules import rules_in
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

PARKED_MOST: Final = 10_000
"""A claim that has parked so many comes to an end: others want to write, too. The next one goes on."""
_Row: TypeAlias = tuple[str, str, int, str, int, bool, int, int | None, int | None, int | None]
_Calm: TypeAlias = str | tuple[str, str, int | None]
_gates: Final = msgspec.json.Decoder(list[tuple[str, int, str, int, bool, int, int | None, int | None]], strict=False)
_lines: Final = msgspec.json.Decoder(list[tuple[str, int, int, int | None]])
_keys: Final = msgspec.json.Decoder(list[str])
_level: Final = msgspec.json.Decoder(list[int])


class Gates:
    """The gates of one call. `finish` comes last."""

    def __init__(self, tx: Transaction, now: int) -> None:
        self._tx = tx
        self._now = now
        self.gates: dict[str, Gate] = {}
        """Those that were read, by key."""
        self.rules: dict[str, Rule | None] = {}
        """What holds for them."""
        self._due: dict[str, int] = {}
        """When the sweep looks at them, as it is in the file; those at which it does."""
        self._touched: set[str] = set()
        self._slots: dict[int, tuple[str, ...]] = {}
        self._turns: dict[int, str] = {}
        self._freed: Counter[str] = Counter()
        self._done: set[str] = set()
        """Gates that completed attempts held slots of."""
        self.parked = 0
        """So many jobs were parked."""

    # -- claim

    def admit(self, rows: Sequence[Picked], slots: int) -> tuple[list[int], list[int]]:
        """Judge jobs of a line until so many start, and park those that may not. Gives the seqs of those that start, and
        those of jobs of which nobody can say what they must pass.
        """
        # What this call has read already is written at its end only.
        if len(rows) <= slots and not self.rules and (held := take_slots(self._tx.connection, rows, self._now)):
            seqs = [row[0] for row in rows]
            self._slots.update(zip(seqs, held, strict=True))
            return seqs, []
        candidates, unreadable = list[Candidate](), list[int]()
        flows = dict[str | None, tuple[Flow | None, tuple[str, ...]]]()  # many jobs have the same
        asked = set[str]()
        for seq, value, parked_by, expires_at in rows:
            if (known := flows.get(value)) is None:
                flow = readable(value)
                known = flows[value] = flow, slots_of(flow)
                asked.update([one.key for one in flow.passes] if flow else ())
            if known[0] is None and value is not None:
                unreadable.append(seq)
                continue
            candidates.append(Candidate(seq, known[0], parked_by, expires_at))
            self._slots[seq] = known[1]
            if known[0] is not None and (turn := known[0].ordered):
                self._turns[seq] = turn.key
            if parked_by is not None:
                asked.add(parked_by)
        self.load(asked - NO_GATES)
        walked = walk(candidates, self.gates, self.rules, slots, self._now)
        self._touched |= walked.touched
        if walked.park:
            self._park(walked.park)
        return walked.take, unreadable

    def _park(self, refused: Sequence[tuple[int, str]]) -> None:
        self._tx.connection.execute(statement("gates_park"), (text(refused),))
        self.parked += len(refused)
        if any(key == EXPIRED for _, key in refused):
            self._tx.hints.add(Wakeup.DUE)

    def slots(self, seqs: Iterable[int]) -> list[tuple[str, ...] | None]:
        """The gates that jobs which were admitted hold slots of. None: it has its turn somewhere, so that is not all."""
        return [None if seq in self._turns else self._slots[seq] for seq in seqs]

    def undo(self, seq: int) -> None:
        """A job that was admitted does not start after all."""
        self.free(self._slots.get(seq, ()))
        if seq in self._turns:
            leave(self.gates[self._turns[seq]], seq)

    # -- settle, rescue, sweep

    def free(self, gates: Iterable[str], *, done: bool = False) -> None:
        """Attempts have ended that held a slot of each of these gates; one that comes twice is given back twice. `done`: they
        have completed.
        """
        self._freed.update(gates)
        if done:
            self._done.update(gates)

    def give_back(self, flow: Flow, outcome: Outcome | None, *, job: int, final: bool) -> None:
        """An attempt has ended, otherwise than completed. See `usher.give_back`; no outcome: it was rescued."""
        hold, until = (outcome.hold, self._now + outcome.after) if isinstance(outcome, RetryLater) else ((), 0)
        ended = ended_by(outcome) if any(one.trips for one in flow.passes) else ""
        if hold or ended or flow.ordered:
            self.load({one.key for one in flow.passes if one.occupies or one.limit in hold})
            self._touched |= give_back(
                flow,
                self.gates,
                job=job,
                final=final,
                hold=hold,
                until=until,
                ended=ended,
                rules=self.rules,
                now=self._now,
            )
        else:
            self.free(slots_of(flow))

    def ended(self, leases: Iterable[Lease], turns: Iterable[str]) -> None:
        """The jobs that were under these leases have ended, and had their turn at these gates. Before any is read."""
        self._tx.connection.execute(statement("turns_ended"), (self._now, text(list(leases))))
        self.touch(turns)

    def touch(self, gates: Iterable[str]) -> None:
        """Look at these at the end."""
        asked = set(gates) - NO_GATES
        self.load(asked)
        self._touched |= asked

    # -- the end

    def finish(self) -> int:
        """Let in whom the touched gates have room for, and write them down. Gives how many came in."""
        if self._freed:
            self._free()
        touched = sorted(self._touched)
        self._touched.clear()
        rooms: dict[str, int] = {}
        for key in touched:
            gate = self.gates[key]
            # Of any other gate `look` says nothing new, and most are such.
            if (gate.waiting or gate.opens_at is not None) and (free := look(self.rules[key], gate, self._now)):
                rooms[key] = free
        opened = self._release(rooms) if rooms else 0
        self.write(touched)
        return opened

    def _free(self) -> None:
        """What ended attempts held. Where nobody waits, a statement gives it back without a look."""
        mine = self._freed.keys() & self.rules.keys()
        alike: dict[int, list[str]] = {}
        for key, times in self._freed.items():
            if key not in mine:
                alike.setdefault(times, []).append(key)
        for times, some in alike.items():
            done = self._tx.connection.execute(statement("gates_free"), (times, text(some))).rowcount
            if done < len(some):
                mine |= set(keys(self._tx.connection, statement("gates_busy"), (text(some),)))
        self.load(mine)
        for key in mine:
            freed(self.gates[key], self._freed[key])
            if key in self._done:
                succeeded(self.gates[key], self._now)
        self._touched |= mine
        self._freed.clear()
        self._done.clear()

    def _release(self, rooms: Mapping[str, int]) -> int:
        connection = self._tx.connection
        released: list[int] = []
        for gate, one, there, first in listed(connection, "gates_lines", _lines, list(rooms)):
            missing = rooms[gate] - there
            if first is not None and missing == 1:
                released.append(first)
            elif first is not None and missing > 1:
                released += seqs(connection, statement("gates_line"), (gate, one, missing))
        if released:
            connection.execute(statement("gates_release"), (text(released),))
            self._tx.hints.add(Wakeup.WORK)
        for key in rooms.keys() - set(listed(connection, "gates_parked", _keys, list(rooms))):
            emptied(self.gates[key])
        return len(released)

    # -- the rows

    def load(self, asked: AbstractSet[str]) -> None:
        """Read those of these gates that were not read yet, and their rules."""
        if missing := list(asked - self.rules.keys()):
            rules, found = gates_of(self._tx.connection, missing)
            self.rules |= rules
            self.gates |= found
            self._due |= {key: gate.opens_at for key, gate in found.items() if gate.opens_at is not None}

    def write(self, changed: Sequence[str]) -> None:
        """Write these gates down."""
        alike: defaultdict[tuple[str, int, bool], list[_Calm]] = defaultdict(list)
        others = []
        for key in changed:
            gate = self.gates[key]
            if gate.waiting or gate.shut_until or gate.needs != 1 or (gate.opens_at, gate.holder) != (None, None):
                others.append(_row(key, gate, self.rules[key]))
                due = self._due.get(key)
                if gate.opens_at is not None and (due is None or gate.opens_at < due):
                    self._tx.hints.add(Wakeup.DUE)
            else:
                row = (key, text(gate.level), idle_at(self.rules[key], gate)) if gate.level else key
                alike[limit_of(key), gate.used, bool(gate.level)].append(row)
        execute = self._tx.connection.execute
        for (limit, used, levels), group in alike.items():
            execute(statement("gates_write_rates" if levels else "gates_write_slots"), (limit, used, text(group)))
        if others:
            execute(statement("gates_write"), (text(others),))


def gates_of(connection: sqlite3.Connection, keys: list[str]) -> tuple[dict[str, Rule | None], dict[str, Gate]]:
    """What holds for gates (None: nobody declared their limit), and the gates. One that nobody knows is as good as new."""
    limits = {key: limit_of(key) for key in keys}
    found, said = connection.execute(statement("gates_read"), (text(keys), text(set(limits.values())))).fetchone()
    try:
        rows, rules = _gates.decode(found), rules_in(said)
    except msgspec.MsgspecError:  # damaged: that one is shut, the others are not
        if len(keys) < 2:
            return dict.fromkeys(keys), {key: Gate() for key in keys}
        alone = [gates_of(connection, [key]) for key in keys]
        return {key: rules[key] for rules, _ in alone for key in rules}, {
            key: gates[key] for _, gates in alone for key in gates
        }
    gates: dict[str, Gate] = {}
    for key, used, level, shut_until, waiting, needs, opens_at, holder in rows:
        remembered = [] if level == "[]" else decoded(_level, level) or []
        gates[key] = Gate(used, remembered, shut_until, waiting, needs, opens_at, holder)
    if len(gates) < len(keys):
        gates |= {key: Gate() for key in keys if key not in gates}
    # Few gates have a rule of their own; the others have that of their limit.
    return {key: rules[key] if key in rules else rules.get(limit) for key, limit in limits.items()}, gates


def slots_of(flow: Flow | None) -> tuple[str, ...]:
    """The gates of which an attempt holds a slot. What it took from a rate is not given back."""
    return tuple([one.key for one in flow.passes if one.holds]) if flow else ()


def _row(key: str, gate: Gate, rule: Rule | None) -> _Row:
    """The parameters of `gates_write.sql` for one gate."""
    level = text(gate.level) if gate.level else "[]"
    moments = gate.opens_at, idle_at(rule, gate)
    return key, limit_of(key), gate.used, level, gate.shut_until, gate.waiting, gate.needs, *moments, gate.holder
