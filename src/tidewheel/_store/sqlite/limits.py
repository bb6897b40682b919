"""Limits as functions of a connection: their rules, their gates, and starts asked for by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow, gate_key
from tidewheel._model.usher import gate_row, limit_of, rate_of, start_by_hand
from tidewheel._model.worker import Wakeup
from tidewheel._store.base import check_gates
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
    check_gates(limit)
    asked = set(keys(connection, statement("gates_known"), (text(named),)))
    for one in limits:
        asked.update(keys(connection, statement("gates_list"), (one, limit)))
    if not limits and not named:
        asked.update(keys(connection, statement("gates_first"), (limit,)))
    first = sorted(asked)[:limit]
    rules, known = gates_of(connection, first)
    held = [key for key in first if known[key].holder is not None]
    ids = {key: connection.execute(statement("turns_holder"), (key,)).fetchone()[0] for key in held}
    return [gate_row(key, rules[key], known[key], now, ids.get(key)) for key in first]


def hit(tx: Transaction, hits: Sequence[Hit], now: int) -> list[Allowance]:
    """See `LimitStore.hit`."""
    book = Gates(tx, now)
    asked = [gate_key(one.limit, one.value) for one in hits]
    book.load(set(asked))
    rules = [rate_of(one, book.rules[key]) for one, key in zip(hits, asked, strict=True)]
    answers = [
        start_by_hand(rule, book.gates[key], one.cost, now) for one, key, rule in zip(hits, asked, rules, strict=True)
    ]
    book.write(sorted(set(asked)))
    return answers
