"""Limits as functions of a connection: their rules, their gates, and starts asked for by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tidewheel._model.errors import StoreError
from tidewheel._model.gate import room, taken
from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow, Rule, gate_key
from tidewheel._model.usher import limit_of
from tidewheel._model.worker import Wakeup
from tidewheel._store.sqlite.gates import Gates, gates_of
from tidewheel._store.sqlite.rows import keys, text
from tidewheel._store.sqlite.rules import limit_row, limits_under, rule_of
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction


def put_limits(tx: Transaction, rows: Sequence[LimitRow], *, declared: bool, now: int) -> list[LimitRow]:
    """See `LimitStore.put_limits`."""
    concerned = sorted({limit_of(row.name) for row in rows})
    before = limits_under(tx.connection, concerned)
    column = "declared" if declared else "operator"
    for row in rows:
        rule = row.declared if declared else row.operator
        tx.connection.execute(
            f"INSERT INTO tidewheel_limits (name, {column}) VALUES (?, ?) "
            f"ON CONFLICT (name) DO UPDATE SET {column} = excluded.{column}",
            (row.name, None if rule is None else text(rule)),
        )
    tx.connection.execute("DELETE FROM tidewheel_limits WHERE declared IS NULL AND operator IS NULL")
    after = limits_under(tx.connection, concerned)
    for name in {row.name for row in rows}:
        # The gates of which something of their own is said are names of their own here.
        if name != limit_of(name) or rule_of(name, before) != rule_of(name, after):
            wake = "limits_wake" if name == limit_of(name) else "gates_wake"
            tx.connection.execute(statement(wake), (now, name))
    tx.hints |= {Wakeup.CONTROL, Wakeup.DUE}
    return [after.get(row.name) or LimitRow(name=row.name) for row in rows]


def limits(connection: sqlite3.Connection) -> list[LimitRow]:
    """See `LimitStore.limits`."""
    found = connection.execute("SELECT name, declared, operator FROM tidewheel_limits ORDER BY name")
    return [limit_row(*row) for row in found]


def gates(
    connection: sqlite3.Connection, limits: Sequence[str], named: Sequence[str], limit: int, now: int
) -> list[GateRow]:
    """See `LimitStore.gates`."""
    if not 1 <= limit <= 1000:
        raise ValueError(f"limit={limit}: one call gives 1 to 1000 gates. Name limits or keys to see others.")
    asked = set(keys(connection, statement("gates_known"), (text(named),)))
    for one in limits:
        asked.update(keys(connection, statement("gates_list"), (one, limit)))
    if not limits and not named:
        asked.update(keys(connection, statement("gates_first"), (limit,)))
    first = sorted(asked)[:limit]
    rules, known = gates_of(connection, first)
    answers = []
    for key in first:
        gate = known[key]
        free, at = room(rules[key], gate, now)
        answers.append(
            GateRow(
                key=key,
                limit=limit_of(key),
                rule=rules[key],
                used=gate.used,
                waiting=gate.waiting,
                room=free,
                opens_at=at,
                shut_until=gate.shut_until if gate.shut_until > now else None,
            )
        )
    return answers


def hit(tx: Transaction, hits: Sequence[Hit], now: int) -> list[Allowance]:
    """See `LimitStore.hit`."""
    book = Gates(tx, now)
    asked = [gate_key(one.limit, one.value) for one in hits]
    book.load(set(asked))
    for one, key in zip(hits, asked, strict=True):
        _check_rate(one.limit, book.rules[key])
    answers = []
    for one, key in zip(hits, asked, strict=True):
        rule, gate = book.rules[key], book.gates[key]
        free, at = room(rule, gate, now, one.cost)
        if free and rule is not None:
            taken(rule, gate, now, one.cost, holds=False)
        answers.append(Allowance(allowed=free > 0, remaining=room(rule, gate, now).free, retry_at=at))
    book.write(sorted(set(asked)))
    return answers


def _check_rate(limit: str, rule: Rule | None) -> None:
    if rule is None:
        raise StoreError(
            f"The limit {limit!r} is not declared in this store. Start a worker of the app that has it, or open that app."
        )
    if rule.slots is not None or rule.count is None:
        raise StoreError(
            f"The limit {limit!r} is none of rates only, so a start by hand cannot be taken from it: there is no attempt "
            "whose end would give the slot back. Name a rate."
        )
