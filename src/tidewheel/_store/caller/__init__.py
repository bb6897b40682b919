"""Connections of the caller's: work done in the transaction that he has open, whatever driver it is of.

`reach` looks at the object and gives a `PostgresCaller` or a `SqliteCaller`. Statements are those of the stores; here is
only what differs from driver to driver, one file each. A driver is never imported before an object of it was given.

A caller of a sync driver never waits for an event loop, although its methods are coroutines: so `drive` runs a coroutine
made of nothing else to its end without a loop, and one code serves both worlds.
"""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from tidewheel._store.caller.base import PostgresCaller, SqliteCaller
from tidewheel._store.caller.errors import elsewhere

T = TypeVar("T")
ACCEPTED: Final = (
    "sqlite3.Connection; an asyncpg connection; psycopg's Connection or AsyncConnection; "
    "SQLAlchemy's Connection, Session, AsyncConnection or AsyncSession"
)
_ASYNC: Final = {
    ("sqlite3", "Connection"): False,
    ("asyncpg", "Connection"): True,
    ("asyncpg", "PoolConnectionProxy"): True,
    ("psycopg", "Connection"): False,
    ("psycopg", "AsyncConnection"): True,
    ("sqlalchemy", "Connection"): False,
    ("sqlalchemy", "Session"): False,
    ("sqlalchemy", "scoped_session"): False,
    ("sqlalchemy", "AsyncConnection"): True,
    ("sqlalchemy", "AsyncSession"): True,
    ("sqlalchemy", "async_scoped_session"): True,
}
"""What is accepted, as (package, class), and whether it belongs to an event loop."""


def sort_of(connection: object) -> tuple[str, str]:
    """(package, class) of a connection, found without importing anything.

    Raises:
        TypeError: it is nothing that is accepted.
    """
    for one in type(connection).__mro__:
        sort = (one.__module__.partition(".")[0], one.__name__)
        if sort in _ASYNC:
            return sort
    given = f"{type(connection).__module__}.{type(connection).__qualname__}"
    hint = ""
    if given.startswith("psycopg2"):
        hint = " psycopg2 is not supported: use psycopg 3 (with SQLAlchemy: postgresql+psycopg://...)."
    elif isinstance(connection, type) or given.endswith(("Engine", "Pool", "sessionmaker")):
        hint = " A connection with an open transaction is needed, not what makes one."
    raise TypeError(f"connection= got a {given}, which is none of: {ACCEPTED}.{hint}")


def check_sync(connection: object) -> None:
    """Refuse connections that belong to an event loop.

    Raises:
        TypeError: it is one, or nothing that is accepted.
    """
    package, name = sort = sort_of(connection)
    if _ASYNC[sort]:
        raise TypeError(
            f"enqueue_in() got {package}'s {name}, which belongs to an event loop. "
            "There write: await app.enqueue_many(jobs, connection=...)."
        )


async def reach(connection: object) -> PostgresCaller | SqliteCaller:
    """The caller's connection, with its transaction open.

    Raises:
        TypeError: it is nothing that is accepted.
        StoreError: it is closed, or commits every statement by itself.
    """
    package, _ = sort_of(connection)
    if package == "sqlite3":
        from tidewheel._store.caller.sqlite import reach_sqlite3

        return reach_sqlite3(connection)
    if package == "asyncpg":
        from tidewheel._store.caller.asyncpg import reach_asyncpg

        return reach_asyncpg(connection)
    if package == "psycopg":
        from tidewheel._store.caller.psycopg import reach_psycopg

        return await reach_psycopg(connection)
    from tidewheel._store.caller.sqlalchemy import reach_sqlalchemy

    return await reach_sqlalchemy(connection)


async def reach_postgres(connection: object, ours: str, what: str) -> PostgresCaller:
    """`reach` for what lives in PostgreSQL; `ours` and `what` are for the message. Raises: as `reach`."""
    caller = await reach(connection)
    if not isinstance(caller, PostgresCaller):
        raise elsewhere("SQLite", ours, what)
    return caller


async def reach_sqlite(connection: object, ours: Path, what: str) -> SqliteCaller:
    """`reach` for what lives in SQLite; `ours` and `what` are for the message. Raises: as `reach`."""
    caller = await reach(connection)
    if not isinstance(caller, SqliteCaller):
        raise elsewhere("PostgreSQL", ours, what)
    return caller


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, without an event loop."""
    try:
        work.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    finally:
        work.close()
    raise RuntimeError("A connection of a sync driver waited for an event loop. This is a bug in Tidewheel.")
