"""Apps on real databases, and every way in which a caller may reach them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.engine._kit import until
from tests.servers import redis as redis_server
from tests.servers._process import NoServer, missing
from tests.servers.postgres import SOURCES, Postgres, running
from tests.servers.redis import Redis
from tests.transactions._doors import POSTGRES_DOORS, SQLITE_DOORS, Door, opened

from tidewheel import App

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL. (The conformance suite looks at the others that are here.)"""
    try:
        with running(SOURCES[0]) as server:
            yield server
    except NoServer as error:
        missing(error)


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A private Valkey."""
    try:
        with redis_server.running("valkey") as server:
            yield server
    except NoServer as error:
        missing(error)


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """Of a schema that nobody used."""
    return f"{postgres.url}?schema=test_{next(_numbers)}"


@pytest.fixture
def redis_url(redis: Redis) -> str:
    """Of a namespace that nobody used."""
    return f"{redis.url}?namespace=test{next(_numbers)}"


@pytest.fixture
async def postgres_app(postgres_url: str) -> AsyncIterator[App]:
    async with App(postgres_url) as app:
        yield app


@pytest.fixture
async def sqlite_app(sqlite_url: str) -> AsyncIterator[App]:
    async with App(sqlite_url) as app:
        yield app


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Of a file that is not there yet."""
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture(params=[*POSTGRES_DOORS, *SQLITE_DOORS])
def door_url(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The name of a door, and the store it leads to. Only the servers that are needed are started."""
    name: str = request.param
    url: str = request.getfixturevalue("postgres_url" if name in POSTGRES_DOORS else "sqlite_url")
    return name, url


@pytest.fixture
async def door(door_url: tuple[str, str]) -> AsyncIterator[Door]:
    """A connection to the app's database, by each driver, with a table `orders` of the caller's own."""
    name, url = door_url
    async with App(url) as app, opened(name, app) as made:
        yield made


@pytest.fixture
def until_blocked(postgres: Postgres) -> Callable[[asyncpg.Connection[Any]], Any]:
    """Wait until the server says that a connection waits for a lock."""

    async def wait(connection: asyncpg.Connection[Any]) -> None:
        watcher = await asyncpg.connect(postgres.url)
        try:
            await until(
                lambda: watcher.fetchval(
                    "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", connection.get_server_pid()
                )
            )
        finally:
            await watcher.close()

    return wait


@pytest.fixture
def loaded_by() -> Callable[[str], set[str]]:
    """Modules that a fresh Python has after a statement."""

    def run(statement: str) -> set[str]:
        program = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return set(json.loads(done.stdout))

    return run
