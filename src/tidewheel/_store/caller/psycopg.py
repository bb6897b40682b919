"""psycopg 3: its sync and its async connections. Statements keep their $1, $2, ...: that is what RawCursor is for."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg.types.array import ListBinaryDumper

from tidewheel._store.caller.base import PostgresCaller
from tidewheel._store.caller.errors import closed, no_transaction

_BEGIN: Final = "with connection.transaction(): ..."


def _ready(cursor: Any, args: tuple[Any, ...]) -> list[Any] | None:
    """The parameters for a cursor. Arrays are lists here (a tuple would be a row), and travel in binary: as text each
    quotation mark in them, of which JSON has many, costs a microsecond.
    """
    cursor.adapters.register_dumper(list, ListBinaryDumper)
    return [list(one) if isinstance(one, tuple) else one for one in args] or None


class PsycopgCaller(PostgresCaller):
    """A sync connection; nothing here waits for an event loop."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.driver = self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """See `PostgresCaller`."""
        with psycopg.RawCursor(self._connection, row_factory=tuple_row) as cursor:
            cursor.execute(sql.encode(), _ready(cursor, args))
            return cursor.fetchall()

    async def do(self, sql: str, *args: Any) -> None:
        """See `PostgresCaller`."""
        with psycopg.RawCursor(self._connection) as cursor:
            cursor.execute(sql.encode(), _ready(cursor, args))


class AsyncPsycopgCaller(PostgresCaller):
    """An async connection."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.driver = self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """See `PostgresCaller`."""
        async with psycopg.AsyncRawCursor(self._connection, row_factory=tuple_row) as cursor:
            await cursor.execute(sql.encode(), _ready(cursor, args))
            return await cursor.fetchall()

    async def do(self, sql: str, *args: Any) -> None:
        """See `PostgresCaller`."""
        async with psycopg.AsyncRawCursor(self._connection) as cursor:
            await cursor.execute(sql.encode(), _ready(cursor, args))


async def reach_psycopg(connection: Any) -> PostgresCaller:
    """The caller. The driver begins a transaction at the first statement of any sort, so one is open soon.

    Raises:
        StoreError: the connection is closed, or in autocommit mode without a transaction.
    """
    if connection.closed:
        raise closed("psycopg")
    if connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        raise no_transaction("psycopg, in autocommit mode", _BEGIN)
    if isinstance(connection, psycopg.AsyncConnection):
        return AsyncPsycopgCaller(connection)
    return PsycopgCaller(connection)
