"""An outbox in PostgreSQL. Relays pass over each other's rows (SKIP LOCKED); a dead one's rows are free at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from tidewheel._model.errors import ConfigError
from tidewheel._outbox.rows import Row, Table, quoted
from tidewheel._store.caller import reach_postgres
from tidewheel._store.caller.errors import of_a_driver
from tidewheel._store.caller.errors import translated as caller_error
from tidewheel._store.postgres.connect import ERRORS, connect, translated
from tidewheel._store.postgres.options import PostgresOptions

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Connection

_DDL: Final = """CREATE TABLE IF NOT EXISTS {table} (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id      text NOT NULL,
    job     text NOT NULL,
    problem text
) WITH (autovacuum_vacuum_scale_factor = 0.02)"""
_WRITE: Final = """INSERT INTO {table} (id, job)
SELECT id, job FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS given (id, job, place) ORDER BY place"""
_TAKE: Final = "SELECT seq, id, job FROM {table} WHERE problem IS NULL ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED"
_REMOVE: Final = "DELETE FROM {table} WHERE seq = ANY ($1::bigint[])"
_ASIDE: Final = "UPDATE {table} SET problem = $2 WHERE seq = $1"


class PostgresRows:
    """See `Rows`."""

    def __init__(self, url: str, table: str) -> None:
        self._options = PostgresOptions.parse(url)
        if "schema" in parse_qs(urlsplit(url).query):
            raise ConfigError(
                f"?schema= in {self._options.shown!r} says where an app's jobs are, not its outbox. "
                f"Name the schema with the table: table='{self._options.schema}.{table}'."
            )
        self._name = quoted(table)
        self.table = Table(table, self._sql(_DDL))
        self._connection: Connection | None = None

    def _sql(self, text: str) -> str:
        return text.replace("{table}", self._name)

    async def create(self) -> None:
        """See `Rows`."""
        with self._speaking():
            await (await self._connected()).execute(self.table.ddl)

    async def write(self, connection: object, rows: Sequence[tuple[str, str]]) -> None:
        """See `Rows`."""
        try:
            caller = await reach_postgres(connection, self._options.shown, "this outbox is")
            async with caller.savepoint():
                await caller.do(self._sql(_WRITE), [row[0] for row in rows], [row[1] for row in rows])
        except Exception as error:
            if not of_a_driver(error):
                raise
            raise caller_error(error, missing=_remedy(self.table.name)) from error

    @asynccontextmanager
    async def take(self, limit: int) -> AsyncIterator[_Taken]:
        """See `Rows`."""
        with self._speaking():
            connection = await self._connected()
            async with connection.transaction():
                rows = [Row(*row) for row in await connection.fetch(self._sql(_TAKE), limit)]
                yield _Taken(connection, rows, self._sql(_REMOVE), self._sql(_ASIDE))

    async def close(self) -> None:
        """See `Rows`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*ERRORS):
                await connection.close(timeout=5)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._options)
        return self._connection

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Say what the driver says in our words."""
        try:
            yield
        except ERRORS as error:
            if getattr(error, "sqlstate", None) == "42P01":
                raise caller_error(error, missing=_remedy(self.table.name)) from error
            raise translated(error, self._options) from error


class _Taken:
    """See `Taken`: done at once, and valid with the transaction of the block."""

    def __init__(self, connection: Connection, rows: Sequence[Row], remove: str, aside: str) -> None:
        self._connection = connection
        self._remove, self._aside = remove, aside
        self.rows = rows

    async def remove(self, rows: Sequence[Row]) -> None:
        if rows:
            await self._connection.execute(self._remove, [row.seq for row in rows])

    async def set_aside(self, row: Row, problem: str) -> None:
        await self._connection.execute(self._aside, row.seq, problem.replace("\0", ""))


def _remedy(table: str) -> str:
    return f"The outbox {table} must be there: await outbox.create_table(), or outbox.ddl in your own migrations."
