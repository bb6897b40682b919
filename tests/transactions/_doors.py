"""Connections of a caller's, by every driver, behind one face: run a statement, commit, roll back."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import psycopg
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tidewheel import App, JobFilter, JobHandle, PreparedJob

ORDERS: Final = "CREATE TABLE orders (name TEXT)"


@dataclass
class Door:
    """One connection. `do` runs a statement; `ask` gives the first column of its rows."""

    app: App
    connection: object
    is_async: bool
    do: Callable[[str], Any]
    end: Callable[[str], Any]
    """"commit" or "rollback"."""

    async def run(self, sql: str) -> None:
        await _maybe(self.do(sql))

    async def commit(self) -> None:
        await _maybe(self.end("commit"))

    async def rollback(self) -> None:
        await _maybe(self.end("rollback"))

    async def enqueue(self, jobs: list[PreparedJob[Any]]) -> list[JobHandle[Any]]:
        """As its users would: sync connections by the sync call."""
        if self.is_async:
            return await self.app.enqueue_many(jobs, connection=self.connection)
        return self.app.enqueue_in(self.connection, jobs)

    async def jobs(self) -> list[str]:
        """Ids of the jobs that others see, oldest first."""
        page = await self.app.jobs.list(JobFilter(), limit=1000)
        return [job.id for job in reversed(page.jobs)]


async def _maybe(value: Any) -> None:
    if hasattr(value, "__await__"):
        await value


@asynccontextmanager
async def _asyncpg(app: App) -> AsyncIterator[Door]:
    connection = await asyncpg.connect(_plain(app))
    async with _of_asyncpg(app, connection) as door:
        yield door
    await connection.close()


@asynccontextmanager
async def _asyncpg_pool(app: App) -> AsyncIterator[Door]:
    async with (
        asyncpg.create_pool(_plain(app), min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        _of_asyncpg(app, connection) as door,
    ):
        yield door


@asynccontextmanager
async def _of_asyncpg(app: App, connection: Any) -> AsyncIterator[Door]:
    at = [connection.transaction()]

    async def end(how: str) -> None:
        await getattr(at.pop(), how)()
        at.append(connection.transaction())
        await at[0].start()

    await at[0].start()
    yield Door(app, connection, True, connection.execute, end)
    await at[0].rollback()


@asynccontextmanager
async def _asyncpg_by_hand(app: App) -> AsyncIterator[Door]:
    connection = await asyncpg.connect(_plain(app))

    async def end(how: str) -> None:
        await connection.execute(f"{how}; BEGIN")

    await connection.execute("BEGIN")
    yield Door(app, connection, True, connection.execute, end)
    await connection.close()


@asynccontextmanager
async def _psycopg_async(app: App) -> AsyncIterator[Door]:
    async with await psycopg.AsyncConnection.connect(_plain(app)) as connection:
        yield Door(app, connection, True, connection.execute, lambda how: getattr(connection, how)())


@asynccontextmanager
async def _psycopg(app: App) -> AsyncIterator[Door]:
    with psycopg.connect(_plain(app), row_factory=psycopg.rows.dict_row) as connection:
        yield Door(app, connection, False, connection.execute, lambda how: getattr(connection, how)())


@asynccontextmanager
async def _sqlite3(app: App) -> AsyncIterator[Door]:
    connection = sqlite3.connect(_file(app))
    connection.row_factory = lambda _, row: {"row": row}
    yield Door(app, connection, False, connection.execute, lambda how: getattr(connection, how)())
    connection.close()


@asynccontextmanager
async def _sqlite3_by_hand(app: App) -> AsyncIterator[Door]:
    connection = sqlite3.connect(_file(app), isolation_level=None)

    def end(how: str) -> None:
        connection.execute(how)
        connection.execute("BEGIN")

    connection.execute("BEGIN")
    yield Door(app, connection, False, connection.execute, end)
    connection.close()


def _core(scheme: str) -> Callable[[App], AbstractAsyncContextManager[Door]]:
    @asynccontextmanager
    async def made(app: App) -> AsyncIterator[Door]:
        engine = create_engine(_alchemy(app, scheme))
        with engine.connect() as connection:
            yield Door(app, connection, False, connection.exec_driver_sql, lambda how: getattr(connection, how)())
        engine.dispose()

    return made


def _orm(scheme: str, *, scoped: bool = False) -> Callable[[App], AbstractAsyncContextManager[Door]]:
    @asynccontextmanager
    async def made(app: App) -> AsyncIterator[Door]:
        engine = create_engine(_alchemy(app, scheme))
        session: Any = scoped_session(sessionmaker(engine)) if scoped else Session(engine)
        yield Door(
            app, session, False,
            lambda sql: session.connection().exec_driver_sql(sql), lambda how: getattr(session, how)(),
        )  # fmt: skip
        session.close()
        engine.dispose()

    return made


def _async_core(scheme: str) -> Callable[[App], AbstractAsyncContextManager[Door]]:
    @asynccontextmanager
    async def made(app: App) -> AsyncIterator[Door]:
        engine = create_async_engine(_alchemy(app, scheme))
        async with engine.connect() as connection:
            yield Door(app, connection, True, connection.exec_driver_sql, lambda how: getattr(connection, how)())
        await engine.dispose()

    return made


def _async_orm(scheme: str) -> Callable[[App], AbstractAsyncContextManager[Door]]:
    @asynccontextmanager
    async def made(app: App) -> AsyncIterator[Door]:
        engine = create_async_engine(_alchemy(app, scheme))
        async with AsyncSession(engine) as session:

            async def do(sql: str) -> None:
                await (await session.connection()).exec_driver_sql(sql)

            yield Door(app, session, True, do, lambda how: getattr(session, how)())
        await engine.dispose()

    return made


POSTGRES_DOORS: Final[dict[str, Callable[[App], AbstractAsyncContextManager[Door]]]] = {
    "asyncpg": _asyncpg,
    "asyncpg pool": _asyncpg_pool,
    "asyncpg by hand": _asyncpg_by_hand,
    "psycopg": _psycopg,
    "psycopg async": _psycopg_async,
    "SQLAlchemy psycopg": _core("postgresql+psycopg"),
    "SQLAlchemy psycopg session": _orm("postgresql+psycopg"),
    "SQLAlchemy psycopg async": _async_core("postgresql+psycopg"),
    "SQLAlchemy psycopg async session": _async_orm("postgresql+psycopg"),
    "SQLAlchemy asyncpg": _async_core("postgresql+asyncpg"),
    "SQLAlchemy asyncpg session": _async_orm("postgresql+asyncpg"),
}
SQLITE_DOORS: Final[dict[str, Callable[[App], AbstractAsyncContextManager[Door]]]] = {
    "sqlite3": _sqlite3,
    "sqlite3 by hand": _sqlite3_by_hand,
    "SQLAlchemy sqlite3": _core("sqlite"),
    "SQLAlchemy sqlite3 session": _orm("sqlite"),
    "SQLAlchemy sqlite3 scoped session": _orm("sqlite", scoped=True),
    "SQLAlchemy aiosqlite": _async_core("sqlite+aiosqlite"),
    "SQLAlchemy aiosqlite session": _async_orm("sqlite+aiosqlite"),
}


@asynccontextmanager
async def opened(name: str, app: App) -> AsyncIterator[Door]:
    """A door to the app's database, where there is an empty table of orders."""
    async with (POSTGRES_DOORS | SQLITE_DOORS)[name](app) as door:
        if name in POSTGRES_DOORS:
            await door.run("DROP TABLE IF EXISTS orders")
        await door.run(ORDERS)
        await door.commit()
        yield door


def _plain(app: App) -> str:
    """The server's URL without our options."""
    return app.url.partition("?")[0]


def _file(app: App) -> str:
    return app.url.removeprefix("sqlite:///")


def _alchemy(app: App, scheme: str) -> str:
    if scheme.startswith("sqlite"):
        return f"{scheme}:///{_file(app)}"
    return _plain(app).replace("postgresql", scheme, 1)
