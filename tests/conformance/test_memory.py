"""The store in memory keeps every promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tidewheel._store.memory import MemoryStore
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture
def make_store(record_property: Callable[[str, object], None]) -> StoreMaker:
    record_property("store", "memory")
    return MemoryStore
