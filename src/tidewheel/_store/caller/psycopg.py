"""psycopg 3: its sync and its async connections. Statements keep their $1, $2, ...: that is what RawCursor is for."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from tidewheel._store.caller.base import PostgresCaller
from tidewheel._store.caller.errors import closed, no_transaction

_BEGIN: Final = "with connection.transaction(): ..."


def _lists(args: tuple[Any, ...]) -> list[Any]:
    """Arrays are lists here; a tuple would be a row."""
    return [list(one) if isinstance(one, tuple) else one for one in args]


class PsycopgCaller(PostgresCaller):
    """A sync connection; nothing here waits for an event loop."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.driver = self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """See `PostgresCaller`."""
        with psycopg.RawCursor(self._connection, row_factory=tuple_row) as cursor:
            cursor.execute(sql.encode(), _lists(args) or None)
            return cursor.fetchall() if cursor.description else []


class AsyncPsycopgCaller(PostgresCaller):
    """An async connection."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.driver = self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """See `PostgresCaller`."""
        async with psycopg.AsyncRawCursor(self._connection, row_factory=tuple_row) as cursor:
            await cursor.execute(sql.encode(), _lists(args) or None)
            return await cursor.fetchall() if cursor.description else []


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
