"""The rules of limits, as the file has them and as they hold for a gate."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tidewheel._model.limit import LimitRow, Rule, merged
from tidewheel._model.usher import limit_of
from tidewheel._store.sqlite.rows import decoded, listed

_CLOSED: Final = Rule(paused=True)
_row: Final = msgspec.json.Decoder(list[tuple[str, str | None, str | None]])
_rule: Final = msgspec.json.Decoder(Rule)


def limit_row(name: str, declared: str | None, operator: str | None) -> LimitRow:
    """A row of the table. A rule that cannot be read shuts its gates; the neighbours' stay open."""
    return LimitRow(name=name, declared=_rule_of(declared), operator=_rule_of(operator))


def _rule_of(value: str | None) -> Rule | None:
    return None if value is None else decoded(_rule, value) or _CLOSED


def limits_under(connection: sqlite3.Connection, limits: Iterable[str]) -> dict[str, LimitRow]:
    """The rows of these limits and of single gates of theirs."""
    found = listed(connection, "limits_under", _row, list(limits))
    return {name: limit_row(name, declared, operator) for name, declared, operator in found}


def rule_of(key: str, rows: Mapping[str, LimitRow]) -> Rule | None:
    """What holds for a gate, by the rows of its limit and its own."""
    limit = limit_of(key)
    named, own = rows.get(limit), rows.get(key) if key != limit else None
    return None if named is None else merged(named.declared, named.operator, own.operator if own else None)


def rules_in(rows: str) -> dict[str, Rule | None]:
    """What holds, by names of limits and of single gates; of JSON rows of the table.

    Raises:
        msgspec.MsgspecError: they are damaged beyond JSON.
    """
    known = {name: limit_row(name, declared, operator) for name, declared, operator in _row.decode(rows)}
    return {name: rule_of(name, known) for name in known}
