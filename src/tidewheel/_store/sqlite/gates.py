"""The gates that one call has to do with, inside its transaction: read as they are needed, looked at and written once,
at its end.

The file's write lock is theirs. Who may pass, and how many a gate lets back into the line, says `_model/usher.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tidewheel._model.flow import Flow, readable
from tidewheel._model.gate import Gate, idle_at
from tidewheel._model.limit import Rule
from tidewheel._model.usher import Candidate, emptied, give_back, limit_of, look, walk
from tidewheel._model.worker import Wakeup
from tidewheel._store.sqlite.rows import decoded, listed, seqs, text
from tidewheel._store.sqlite.rules import rules_in
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

PARKED_MOST: Final = 10_000
"""A claim that has parked so many comes to an end: others want to write, too. The next one goes on."""
Picked: TypeAlias = tuple[int, str | None, str | None]
"""Of a job in its line: seq, flow, parked_by."""

_Row: TypeAlias = tuple[str, str, int, str, int, bool, int, int | None, int | None]
_Calm: TypeAlias = str | tuple[str, str, int | None]
_gates: Final = msgspec.json.Decoder(list[tuple[str, int, str, int, int, int, int | None]])
_lines: Final = msgspec.json.Decoder(list[tuple[str, int, int, int | None]])
_keys: Final = msgspec.json.Decoder(list[str])
_level: Final = msgspec.json.Decoder(list[int])


class _Ended(NamedTuple):
    """An attempt that has ended."""

    flow: Flow
    hold: tuple[str, ...]
    until: int

    def changes(self) -> Iterator[str]:
        """The gates that its end changes. What was taken from a rate is not given back."""
        return (one.key for one in self.flow.passes if one.holds or one.limit in self.hold)


class Gates:
    """The gates of one call. `finish` comes last."""

    def __init__(self, tx: Transaction, now: int) -> None:
        self._tx = tx
        self._now = now
        self.gates: dict[str, Gate] = {}
        """Those that were read, by key."""
        self.rules: dict[str, Rule | None] = {}
        """What holds for them."""
        self._due: dict[str, int | None] = {}
        """When the sweep looks at them, as it is in the file."""
        self._touched: set[str] = set()
        self._admitted: dict[int, Flow] = {}
        self._ended: list[_Ended] = []
        self.parked = 0
        """So many jobs were parked."""

    # -- claim

    def admit(self, rows: Iterable[Picked], slots: int) -> tuple[list[int], list[int]]:
        """Judge jobs of a line until so many start, and park those that may not. Gives the seqs of those that start, and
        those of jobs of which nobody can say what they must pass.
        """
        candidates, unreadable = [], []
        for seq, value, parked_by in rows:
            flow = readable(value)
            if value is None or flow is not None:
                candidates.append(Candidate(seq, flow, parked_by))
            else:
                unreadable.append(seq)
            if flow is not None:
                self._admitted[seq] = flow
        self.load({key for job in candidates for key in _keys_of(job)})
        walked = walk(candidates, self.gates, self.rules, slots, self._now)
        self._touched |= walked.touched
        if walked.park:
            self._tx.connection.execute(statement("gates_park"), (text(walked.park),))
            self.parked += len(walked.park)
        return walked.take, unreadable

    def undo(self, seq: int) -> None:
        """A job that was admitted does not start after all."""
        if seq in self._admitted:
            self.give_back(self._admitted[seq])

    # -- settle, rescue, sweep

    def give_back(self, flow: Flow, *, hold: tuple[str, ...] = (), until: int = 0) -> None:
        """An attempt has ended. See `usher.give_back`."""
        self._ended.append(_Ended(flow, hold, until))

    def touch(self, keys: Iterable[str]) -> None:
        """Look at these at the end."""
        asked = set(keys)
        self.load(asked)
        self._touched |= asked

    # -- the end

    def finish(self) -> int:
        """Let in whom the touched gates have room for, and write them down. Gives how many came in."""
        self.load({key for ended in self._ended for key in ended.changes()})
        for ended in self._ended:
            self._touched |= give_back(ended.flow, self.gates, hold=ended.hold, until=ended.until)
        touched = sorted(self._touched)
        self._ended.clear()
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

    def load(self, keys: AbstractSet[str]) -> None:
        """Read those of these gates that were not read yet, and their rules."""
        if missing := list(keys - self.rules.keys()):
            rules, found = gates_of(self._tx.connection, missing)
            self.rules |= rules
            self.gates |= found
            self._due |= {key: gate.opens_at for key, gate in found.items()}

    def write(self, keys: Sequence[str]) -> None:
        """Write these gates down."""
        alike: dict[tuple[str, int, bool], list[_Calm]] = {}
        others = []
        for key in keys:
            gate = self.gates[key]
            if gate.waiting or gate.shut_until or gate.opens_at is not None or gate.needs != 1:
                others.append(_row(key, gate, self.rules[key]))
                due = self._due[key]
                if gate.opens_at is not None and (due is None or gate.opens_at < due):
                    self._tx.hints.add(Wakeup.DUE)
            else:
                group = alike.setdefault((limit_of(key), gate.used, bool(gate.level)), [])
                group.append((key, text(gate.level), idle_at(self.rules[key], gate)) if gate.level else key)
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
    for key, used, level, shut_until, waiting, needs, opens_at in rows:
        remembered = [] if level == "[]" else decoded(_level, level) or []
        gates[key] = Gate(used, remembered, shut_until, bool(waiting), needs, opens_at)
    gates |= {key: Gate() for key in keys if key not in gates}
    # Few gates have a rule of their own; the others have that of their limit.
    return {key: rules[key] if key in rules else rules.get(limit) for key, limit in limits.items()}, gates


def _keys_of(job: Candidate) -> list[str]:
    keys = [one.key for one in job.flow.passes] if job.flow else []
    return keys if job.parked_by is None else [*keys, job.parked_by]


def _row(key: str, gate: Gate, rule: Rule | None) -> _Row:
    """The parameters of `gates_write.sql` for one gate."""
    level = text(gate.level) if gate.level else "[]"
    moments = gate.opens_at, idle_at(rule, gate)
    return key, limit_of(key), gate.used, level, gate.shut_until, gate.waiting, gate.needs, *moments
