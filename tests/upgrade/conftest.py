"""The code before, and a place in each store that has a schema."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.servers._process import wanted
from tests.servers.postgres import Postgres, running
from tests.upgrade._freeze import unpack
from tests.upgrade._machine import Machine

_numbers = count(1)


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What goes into PYTHONPATH to run the code before."""
    return unpack(tmp_path_factory.mktemp("before"))


@pytest.fixture
def machine(before: Path) -> Iterator[Machine]:
    machine = Machine(before)
    yield machine
    machine.end()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with wanted(running("wheel")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store without a schema yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    server: Postgres = request.getfixturevalue("postgres")
    return f"{server.url}?schema=rolling_{next(_numbers)}"
