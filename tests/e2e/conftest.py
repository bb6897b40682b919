"""What the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e._harness import Site
from tests.servers import postgres, redis
from tests.servers._process import wanted


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh store, and processes that end with the test."""
    made = Site(tmp_path)
    yield made
    made.end()


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh store of each sort that several processes may use."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shared.db'}"
    elif request.param == "redis":
        with wanted(redis.running(durable=True)) as server:
            yield f"{server.url}?namespace=shared"
    else:
        with wanted(postgres.running()) as other:
            yield other.url.replace("tester@", "tester:s3cret@") + "?schema=shared"
