"""sqlite3: Python's own driver, and the async one (aiosqlite) as SQLAlchemy uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from tidewheel._store.caller.base import Plain, SqliteCaller, within
from tidewheel._store.caller.errors import closed, elsewhere, no_transaction

T = TypeVar("T")
_LEGACY: Final = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL, of Python 3.12


class Sqlite3Caller(SqliteCaller):
    """A connection of Python's own driver; nothing here waits for an event loop."""

    def __init__(self, connection: Any, *, begin: bool) -> None:
        self._connection = Plain(connection)
        self._begin = begin

    async def run(self, work: Callable[[Any], T]) -> T:
        """See `SqliteCaller`."""
        return within(self._connection, work, begin=self._begin)


def must_begin(connection: Any) -> bool:
    """Whether a transaction is to be begun, as the driver itself would at the first write.

    Raises:
        StoreError: the connection is closed, of another thread, or in autocommit mode without a transaction.
    """
    try:
        open_already, level = connection.in_transaction, connection.isolation_level
    except Exception as error:
        raise closed("sqlite3") from error
    if open_already:
        return False
    if level is None or getattr(connection, "autocommit", _LEGACY) is True:
        raise no_transaction("sqlite3, in autocommit mode", 'connection.execute("BEGIN IMMEDIATE")')
    return True


def reach_sqlite3(connection: Any) -> Sqlite3Caller:
    """The caller.

    Raises:
        StoreError: see `must_begin`.
    """
    return Sqlite3Caller(connection, begin=must_begin(connection))


def check_file(plain: Plain, ours: Path, what: str) -> None:
    """Refuse a connection whose main database is another file than `ours`.

    Raises:
        StoreError: it is.
    """
    name = next((file for _, schema, file in plain.execute("PRAGMA database_list").fetchall() if schema == "main"), "")
    file = Path(name)
    if not name or not (file == ours or (file.exists() and ours.exists() and file.samefile(ours))):
        raise elsewhere(name or "a database in memory", ours, what)
