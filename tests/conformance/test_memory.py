"""The store in memory keeps every promise."""

from __future__ import annotations

import pytest

from tidewheel._store.memory import MemoryStore
from tidewheel.testing.conformance import StoreMaker, StoreSuite


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def make_store(self) -> StoreMaker:
        return MemoryStore
