"""What the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e._harness import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh store, and processes that end with the test."""
    made = Site(tmp_path)
    yield made
    made.end()
