"""An outbox in an SQLite file. The relay reads, enqueues, and only then writes: the file is never locked for long.

So two relays may hand over the same rows; their jobs have ids, and become one job each all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from tidewheel._model.errors import ConfigError
from tidewheel._outbox.rows import Row, Table, quoted
from tidewheel._store.caller import reach_sqlite
from tidewheel._store.caller.errors import of_a_driver
from tidewheel._store.caller.errors import translated as caller_error
from tidewheel._store.caller.sqlite import check_file
from tidewheel._store.sqlite.connect import translated
from tidewheel._store.sqlite.options import SqliteOptions

T = TypeVar("T")
# AUTOINCREMENT: a number that a relay has read must never be another row's.
_DDL: Final = """CREATE TABLE IF NOT EXISTS {table} (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT NOT NULL,
    job     TEXT NOT NULL,
    problem TEXT
)"""
_WRITE: Final = "INSERT INTO {table} (id, job) VALUES (?, ?)"
_TAKE: Final = "SELECT seq, id, job FROM {table} WHERE problem IS NULL ORDER BY seq LIMIT ?"
_REMOVE: Final = "DELETE FROM {table} WHERE seq = ?"
_ASIDE: Final = "UPDATE {table} SET problem = ? WHERE seq = ?"


class SqliteRows:
    """See `Rows`."""

    def __init__(self, url: str, table: str) -> None:
        self._options = SqliteOptions.parse(url)
        if "." in table:
            raise ConfigError(
                f"table={table!r}: a file of SQLite has no schemas. Leave out what stands before the dot."
            )
        self._name = quoted(table)
        self.table = Table(table, self._sql(_DDL))
        self._connection: sqlite3.Connection | None = None
        self._busy = threading.Lock()  # a call that was cancelled goes on in its thread

    def _sql(self, text: str) -> str:
        return text.replace("{table}", self._name)

    async def create(self) -> None:
        """See `Rows`."""
        await self._call(lambda connection: connection.execute(self.table.ddl))

    async def write(self, connection: object, rows: Sequence[tuple[str, str]]) -> None:
        """See `Rows`."""

        def add(plain: Any) -> None:
            check_file(plain, self._options.path, "this outbox is")
            plain.executemany(self._sql(_WRITE), rows)

        try:
            caller = await reach_sqlite(connection, self._options.path, "this outbox is")
            await caller.run(add)
        except Exception as error:
            if not of_a_driver(error):
                raise
            raise caller_error(error, missing=_remedy(self.table.name)) from error

    @asynccontextmanager
    async def take(self, limit: int) -> AsyncIterator[_Taken]:
        """See `Rows`."""
        found = await self._call(lambda connection: connection.execute(self._sql(_TAKE), (limit,)).fetchall())
        taken = _Taken([Row(*row) for row in found])
        yield taken
        if taken.gone or taken.aside:
            await self._call(lambda connection: self._write_back(connection, taken))

    def _write_back(self, connection: sqlite3.Connection, taken: _Taken) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(self._sql(_REMOVE), taken.gone)
            connection.executemany(self._sql(_ASIDE), taken.aside)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    async def close(self) -> None:
        """See `Rows`."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._busy:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    async def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Use the connection in a thread: waiting for a lock must not stop the event loop."""
        try:
            return await asyncio.to_thread(self._in_thread, work)
        except sqlite3.Error as error:
            if "no such table" in str(error):
                raise caller_error(error, missing=_remedy(self.table.name)) from error
            raise translated(error, self._options) from error

    def _in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._busy:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._options.path,
                    isolation_level=None,
                    check_same_thread=False,  # one call at a time, in whichever thread
                    timeout=self._options.busy_timeout / 1_000_000,
                )
            return work(self._connection)


class _Taken:
    """See `Taken`: noted, and written when the block has ended well."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows: Sequence[Row] = rows
        self.gone: list[tuple[int]] = []
        self.aside: list[tuple[str, int]] = []

    async def remove(self, rows: Sequence[Row]) -> None:
        self.gone += [(row.seq,) for row in rows]

    async def set_aside(self, row: Row, problem: str) -> None:
        self.aside.append((problem, row.seq))


def _remedy(table: str) -> str:
    return f"The outbox {table} must be there: await outbox.create_table(), or outbox.ddl in your own migrations."
