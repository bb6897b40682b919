"""The store in memory keeps every promise."""

from __future__ import annotations

import pytest

from tidewheel._store.memory import MemoryStore
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture
def make_store() -> StoreMaker:
    return MemoryStore
