"""Now and then: keys forgotten that can hold no more. Nobody waits for it, and nothing of it shows."""

from __future__ import annotations

from typing import Final

from tidewheel._store.sqlite.rows import keys, text
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

_MOST: Final = 10_000
_AGAIN: Final = 600_000_000
"""Microseconds until the next look at a key that may hold still."""


def tidy(tx: Transaction, now: int) -> bool:
    """Forget keys, at most `_MOST`; True when there may be more."""
    found = keys(tx.connection, statement("keys_due"), (now, _MOST))
    if found:
        tx.connection.execute(statement("keys_forget"), (now, text(found)))
        tx.connection.execute(statement("keys_later"), (now + _AGAIN, text(found)))
    return len(found) == _MOST
