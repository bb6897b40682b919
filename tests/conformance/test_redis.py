"""The Redis store keeps every promise, on Valkey and, where there is one, on Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.conformance._redis_kit import maker
from tests.servers._process import wanted
from tests.servers.redis import Redis, running, sources

from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture(scope="session", params=sources())
def server(request: pytest.FixtureRequest) -> Iterator[Redis]:
    with wanted(running(request.param)) as one:
        yield one


@pytest.fixture
def make_store(server: Redis, record_property: Callable[[str, object], None]) -> StoreMaker:
    return maker(server.url, server.name, record_property)
