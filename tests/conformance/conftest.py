"""Servers for the stores that need one: started by the first test that asks, ended with the session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from itertools import count

import pytest
import pytest_asyncio
from tests.conformance._postgres_kit import Place, two_stores
from tests.conformance._schemas import Schemas
from tests.servers import redis as redis_server
from tests.servers._process import wanted
from tests.servers.postgres import SOURCES, Postgres, running
from tests.servers.redis import Redis

_numbers = count(1)


@pytest.fixture(scope="session", params=SOURCES)
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A private PostgreSQL: the newest, which comes as a wheel, and the system's, where there is one."""
    with wanted(running(request.param)) as server:
        yield server


@pytest.fixture(scope="session")
def newest_postgres() -> Iterator[Postgres]:
    """A private PostgreSQL, only the one that comes as a wheel."""
    with wanted(running("wheel")) as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A private Valkey, which comes as a wheel."""
    with wanted(redis_server.running("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def schemas() -> Callable[[Postgres], Schemas]:
    """Of each server, schemas that are used again and again."""
    return cache(Schemas)


@pytest.fixture
def new_schema() -> Callable[[], str]:
    """Names of schemas that nobody used yet: each store of each test has its own."""
    return lambda: f"test_{next(_numbers)}"


@pytest_asyncio.fixture
async def place(
    postgres: Postgres, new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """Two PostgreSQL stores on one schema, whose calls are made to meet."""
    async with two_stores(postgres.url, new_schema(), monkeypatch) as made:
        yield made
