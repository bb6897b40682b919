"""Slots taken without a look. Most gates only count slots, and nobody waits there: then a statement takes what all jobs of
a piece of line need, or finds one gate that is otherwise and takes nothing.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TypeAlias

from tidewheel._model.flow import lone_slot, readable
from tidewheel._model.limit import Rule
from tidewheel._store.sqlite.rows import text
from tidewheel._store.sqlite.rules import limits_under
from tidewheel._store.sqlite.sql import statement

Picked: TypeAlias = tuple[int, str | None, str | None, int | None]
"""Of a job in its line: seq, flow, parked_by, expires_at."""


def take_slots(connection: sqlite3.Connection, rows: Iterable[Picked], now: int) -> list[tuple[str, ...]] | None:
    """Take what all of these jobs must pass. Gives the gates that each holds a slot of then; None: nothing is taken, they
    have to be asked one by one.
    """
    slots, limits = list[tuple[str, ...]](), dict[str, str]()
    known: dict[str | None, tuple[str, ...] | None] = {None: ()}
    for _, value, parked_by, expires_at in rows:
        if parked_by is not None or (expires_at is not None and expires_at <= now):
            return None
        held = known.get(value)
        if held is None and value is not None:
            held = known[value] = _held(value, limits)
        if held is None:
            return None
        slots.append(held)
    return slots if not limits or _take(connection, Counter(chain.from_iterable(slots)), limits, now) else None


def _held(value: str, limits: dict[str, str]) -> tuple[str, ...] | None:
    """The gates that a flow holds a slot of, put down with their limits; None when it asks for anything else."""
    if (lone := lone_slot(value)) is not None:
        limit, key = lone
        limits[key] = limit
        return (key,)
    flow = readable(value)
    if flow is None or any(one.order or one.trips or not one.holds for one in flow.passes):
        return None
    passes = {one.key: one.limit for one in flow.passes}
    limits |= passes
    return tuple(passes)


def _take(connection: sqlite3.Connection, times: Counter[str], limits: Mapping[str, str], now: int) -> bool:
    rules = {name: row.rule for name, row in limits_under(connection, set(limits.values())).items()}
    if rules.keys() != set(limits.values()):
        return False  # one is not declared, or a single gate has a rule of its own
    alike: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for key, count in times.items():
        alike[limits[key], count].append(key)
    most = {name: _slots_of(rule) for name, rule in rules.items()}
    if any(count > most[name] for name, count in alike):
        return False
    taken: list[tuple[int, str]] = []
    for (name, count), some in alike.items():
        keys = text(some)
        try:
            connection.execute(statement("gates_take"), (name, count, most[name], now, keys))
        except sqlite3.IntegrityError:
            for one in taken:
                connection.execute(statement("gates_free"), one)
            return False
        taken.append((count, keys))
    return True


def _slots_of(rule: Rule | None) -> int:
    """How many slots such a gate has; none when its rule says anything else."""
    if rule is None or rule.slots is None or rule.paused or rule.count is not None or rule.failures:
        return 0
    return rule.slots
