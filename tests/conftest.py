"""What holds for all tests."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, settings

_LONG: Final = 300

# How long an example takes says something about the machine, not about the code: pytest's timeout is the limit.
settings.register_profile("tidewheel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidewheel")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that may take minutes come first: else one process runs the last of them while the other has nothing to do."""
    items.sort(key=lambda item: not any(marker.args[0] >= _LONG for marker in item.iter_markers("timeout")))
