"""The embedded store keeps every promise."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tidewheel._store.sqlite import SqliteStore
from tidewheel.testing.conformance import StoreMaker, StoreSuite


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> StoreMaker:
        numbers = count()
        return lambda env: SqliteStore(str(tmp_path / f"jobs{next(numbers)}.db"), env)
