"""asyncpg: connections and what its pools hand out."""

from __future__ import annotations

from typing import Any

from tidewheel._store.caller.base import PostgresCaller
from tidewheel._store.caller.errors import closed, no_transaction


class AsyncpgCaller(PostgresCaller):
    """A connection of asyncpg's."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.driver = getattr(connection, "_con", connection)  # a pool's loan is another object each time

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """See `PostgresCaller`."""
        rows: list[Any] = await self._connection.fetch(sql, *args)
        return rows

    async def do(self, sql: str, *args: Any) -> None:
        """See `PostgresCaller`."""
        await self._connection.execute(sql, *args)


def reach_asyncpg(connection: Any) -> AsyncpgCaller:
    """The caller, when it has a transaction open.

    Raises:
        StoreError: the connection is closed, given back to its pool, or has none.
    """
    try:
        gone, begun = connection.is_closed(), connection.is_in_transaction()
    except Exception as error:  # its pool has it back
        raise closed("asyncpg") from error
    if gone:
        raise closed("asyncpg")
    if not begun:
        raise no_transaction("asyncpg", "async with connection.transaction(): ...")
    return AsyncpgCaller(connection)
