"""What every connection of a caller's can do, for PostgreSQL and for SQLite."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeVar

T = TypeVar("T")


class PostgresCaller(ABC):
    """A PostgreSQL connection inside the caller's transaction, with the methods of asyncpg that the store uses."""

    driver: object
    """The driver's own connection, the same object as long as it is connected."""

    @abstractmethod
    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """The rows of a statement with parameters $1, $2, ..."""

    @abstractmethod
    async def do(self, sql: str, *args: Any) -> None:
        """Run a statement that gives no rows."""

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        """The first row, or None."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first value of the first row, or None."""
        row = await self.fetchrow(sql, *args)
        return row[0] if row else None

    async def execute(self, sql: str, *args: Any) -> None:
        """Run a statement that gives no rows."""
        await self.do(sql, *args)

    def is_in_transaction(self) -> bool:
        """Always."""
        return True

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Nothing: `savepoint` stands around the whole call already."""
        return nullcontext()

    @asynccontextmanager
    async def savepoint(self, name: str = "tidewheel") -> AsyncIterator[None]:
        """All of the block or nothing: an error in it leaves the caller's transaction as it was, and usable."""
        await self.do(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # a connection that broke has rolled back already
                await self.do(f"ROLLBACK TO SAVEPOINT {name}")
                await self.do(f"RELEASE SAVEPOINT {name}")
            raise
        await self.do(f"RELEASE SAVEPOINT {name}")


class Plain:
    """A connection as the SQLite store uses it, without what the caller made of its rows."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run a statement; gives the cursor."""
        cursor = self._connection.cursor()
        if hasattr(cursor, "row_factory"):
            cursor.row_factory = None
        cursor.execute(sql, tuple(parameters))
        return cursor

    def executemany(self, sql: str, rows: Any) -> Any:
        """Run a statement once for each row of parameters; gives the cursor."""
        cursor = self._connection.cursor()
        cursor.executemany(sql, rows)
        return cursor


class SqliteCaller(ABC):
    """An SQLite connection inside the caller's transaction."""

    @abstractmethod
    async def run(self, work: Callable[[Any], T]) -> T:
        """Call `work(connection)` where the connection may be used: all of it happens or nothing."""


def within(connection: Plain, work: Callable[[Any], T], *, begin: bool) -> T:
    """Do something to an SQLite connection between a savepoint and its release.

    `begin`: no transaction is open yet, and the driver would begin one at the first write. That is what happens, for
    writing at once; it is gone again when `work` fails.
    """
    if begin:
        connection.execute("BEGIN IMMEDIATE")
    undo = "ROLLBACK" if begin else "ROLLBACK TO tidewheel"
    connection.execute("SAVEPOINT tidewheel")
    try:
        answer = work(connection)
        connection.execute("RELEASE tidewheel")
    except BaseException:
        with contextlib.suppress(Exception):  # a full disk has rolled back everything already
            connection.execute(undo)
            if not begin:
                connection.execute("RELEASE tidewheel")
        raise
    return answer
