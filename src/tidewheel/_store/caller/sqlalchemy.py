"""SQLAlchemy 2: connections and sessions, sync and async, over psycopg, asyncpg, sqlite3 and aiosqlite.

The work is done on the driver's own connection below. SQLAlchemy must know of the transaction all the same, or its
`commit` would do nothing: so it begins one the way it begins any, with a statement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from tidewheel._model.errors import StoreError
from tidewheel._store.caller.asyncpg import reach_asyncpg
from tidewheel._store.caller.base import Plain, PostgresCaller, SqliteCaller, within
from tidewheel._store.caller.errors import closed
from tidewheel._store.caller.sqlite import must_begin, reach_sqlite3

T = TypeVar("T")
_BEGIN: Final = "SELECT 1"


class AioSqliteCaller(SqliteCaller):
    """An SQLite connection in a thread of its own, reached as SQLAlchemy reaches it."""

    def __init__(self, connection: AsyncConnection, *, begin: bool) -> None:
        self._connection = connection
        self._begin = begin

    async def run(self, work: Callable[[Any], T]) -> T:
        """See `SqliteCaller`."""
        return await self._connection.run_sync(
            lambda sync: within(Plain(sync.connection.dbapi_connection), work, begin=self._begin)
        )


async def reach_sqlalchemy(connection: Any) -> PostgresCaller | SqliteCaller:
    """The caller below.

    Raises:
        StoreError: it is closed, in autocommit mode, or leads to a database or a driver that is not supported.
    """
    if isinstance(connection, (scoped_session, async_scoped_session)):
        connection = connection()
    if isinstance(connection, AsyncSession):
        connection = await connection.connection()
    elif isinstance(connection, Session):
        connection = connection.connection()
    if connection.closed:
        raise closed("SQLAlchemy")
    if isinstance(connection, AsyncConnection):
        return await _reach_async(connection)
    return await _reach_sync(connection)


async def _reach_sync(connection: Connection) -> PostgresCaller | SqliteCaller:
    if not connection.in_transaction():
        connection.exec_driver_sql(_BEGIN)
    driver = connection.connection.driver_connection
    if connection.dialect.driver == "psycopg":
        from tidewheel._store.caller.psycopg import reach_psycopg

        return await reach_psycopg(driver)
    if connection.dialect.driver == "pysqlite":
        return reach_sqlite3(driver)
    raise _unsupported(connection.dialect.name, connection.dialect.driver)


async def _reach_async(connection: AsyncConnection) -> PostgresCaller | SqliteCaller:
    name, driver_name = connection.dialect.name, connection.dialect.driver
    if not connection.in_transaction():
        await connection.exec_driver_sql(_BEGIN)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if driver_name == "asyncpg":
        if not driver.is_in_transaction():  # SQLAlchemy begins it with the first statement
            await connection.exec_driver_sql(_BEGIN)
        return reach_asyncpg(driver)
    if driver_name in {"psycopg", "psycopg_async"}:
        from tidewheel._store.caller.psycopg import reach_psycopg

        return await reach_psycopg(driver)
    if driver_name == "aiosqlite":
        return AioSqliteCaller(connection, begin=must_begin(driver))
    raise _unsupported(name, driver_name)


def _unsupported(dialect: str, driver: str) -> StoreError:
    return StoreError(
        f"This SQLAlchemy connection leads to {dialect} by {driver}; jobs can be enqueued in it for PostgreSQL by psycopg "
        "(postgresql+psycopg://) or asyncpg (postgresql+asyncpg://), and for SQLite (sqlite://, sqlite+aiosqlite://)."
    )
