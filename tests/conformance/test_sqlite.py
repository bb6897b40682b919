"""The embedded store keeps every promise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tidewheel._store.sqlite import SqliteStore
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture
def make_store(tmp_path: Path, record_property: Callable[[str, object], None]) -> StoreMaker:
    record_property("store", "SQLite")
    numbers = count()
    return lambda env: SqliteStore(str(tmp_path / f"jobs{next(numbers)}.db"), env)
