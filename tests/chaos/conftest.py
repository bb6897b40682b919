"""The stores that are exercised here, each with a server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.chaos._grounds import HERE, Ground
from tests.servers._process import NoServer, missing

_numbers = count(1)


@pytest.fixture(scope="session", params=HERE)
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A store whose server is started, but not watched."""
    made = Ground(request.param, tmp_path_factory.mktemp("ground"), lease=2.0)
    try:
        made.start()
        yield made
    except NoServer as error:
        missing(error)
    finally:
        made.remove()


@pytest.fixture
def new_url(ground: Ground, tmp_path: Path) -> Callable[[], str]:
    """URLs of stores on the ground's server that nobody used yet."""
    return lambda: _own_url(ground, tmp_path)


def _own_url(ground: Ground, folder: Path) -> str:
    """A store of its own on the ground's server."""
    number = next(_numbers)
    match ground.store:
        case "sqlite":
            return f"sqlite:///{folder / f'{number}.db'}"
        case "postgres":
            return f"{ground.url}?schema=chaos_{number}&pool_size=2"
        case _:
            return f"{ground.url}?namespace=chaos{number}"
