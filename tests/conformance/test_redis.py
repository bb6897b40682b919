"""The Redis store keeps every promise, on Valkey and, where there is one, on Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from tests.servers._process import wanted
from tests.servers.redis import Redis, running, sources

from tidewheel._store.redis import RedisStore
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker

_numbers = count()


@pytest.fixture(scope="session", params=sources())
def server(request: pytest.FixtureRequest) -> Iterator[Redis]:
    with wanted(running(request.param)) as one:
        yield one


@pytest.fixture
def make_store(server: Redis, record_property: Callable[[str, object], None]) -> StoreMaker:
    record_property("store", server.name)
    return lambda env: RedisStore(f"{server.url}?namespace=test{next(_numbers)}", env)
