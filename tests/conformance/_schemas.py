"""Schemas that one test of the suite uses after the other: making one takes longer than most of these tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
from psycopg.sql import SQL, Identifier
from tests.servers.postgres import Postgres

_TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY (%s) AND tablename <> 'migrations'"


class Schemas:
    """Those of one server."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._numbers = count(1)
        self._clearings = count(1)
        self._empty: list[str] = []

    @contextmanager
    def some(self) -> Iterator[Callable[[], str]]:
        """Gives names of schemas, new or as good as new. In the end the stores must be closed."""
        taken = list[str]()

        def take() -> str:
            taken.append(self._empty.pop() if self._empty else f"suite_{next(self._numbers)}")
            return taken[-1]

        yield take
        self._clear(taken)
        self._empty += taken

    def _clear(self, schemas: list[str]) -> None:
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '10s'")
            # A DELETE is much faster, and leaves its rows where they are: so now and then they are thrown away.
            words = SQL("DELETE FROM {}" if next(self._clearings) % 50 else "TRUNCATE {} RESTART IDENTITY")
            tables = connection.execute(_TABLES, (schemas,)).fetchall()
            connection.execute(SQL(";").join(words.format(Identifier(*table)) for table in tables))
