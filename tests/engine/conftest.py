"""What holds for the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.engine._batches import Book

from tidewheel import App


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes a second or more, because time itself is what is tested")


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """An app on a store of its own, with the clock of the machine."""
    made = App("memory://")
    yield made
    await made.close()


@pytest.fixture
def book() -> Book:
    """A batch handler that writes down its calls."""
    return Book()
