"""The promises of `tidewheel._store.base`, as tests that any store can run.

    from tidewheel.testing.conformance import StoreMaker, StoreSuite

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def make_store(self) -> StoreMaker:
            return lambda env: MyStore(env)          # a new, empty store that is not open yet

Needs pytest and pytest-asyncio (any mode). Every test gives the store the time (`now=`), so a server's store,
which has a clock of its own, runs the same tests. Nothing sleeps. One file per theme, one class per file; a store
that cannot do a theme yet may subclass the classes of the others instead of `StoreSuite`.
"""

# ruff: noqa: E402  (the modules are imported after pytest was told to explain their asserts)

import pytest

_MODULES = (
    *("kit", "alter", "beat", "claim", "dead", "enqueue", "history", "lifecycle", "listing", "moves", "queues"),
    *("rescue", "retention", "settle", "settle_stale", "sweep", "wakeups"),
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES))

from tidewheel.testing.conformance.alter import AlterSuite
from tidewheel.testing.conformance.beat import BeatSuite
from tidewheel.testing.conformance.claim import ClaimSuite
from tidewheel.testing.conformance.dead import DeadLetterSuite
from tidewheel.testing.conformance.enqueue import EnqueueSuite
from tidewheel.testing.conformance.history import HistorySuite
from tidewheel.testing.conformance.kit import Kit, StoreMaker, Suite
from tidewheel.testing.conformance.lifecycle import LifecycleSuite
from tidewheel.testing.conformance.listing import ListSuite
from tidewheel.testing.conformance.moves import MovesSuite
from tidewheel.testing.conformance.queues import QueueSuite
from tidewheel.testing.conformance.rescue import RescueSuite
from tidewheel.testing.conformance.retention import RetentionSuite
from tidewheel.testing.conformance.settle import SettleSuite
from tidewheel.testing.conformance.settle_stale import StaleSettleSuite
from tidewheel.testing.conformance.sweep import SweepSuite
from tidewheel.testing.conformance.wakeups import WakeupSuite

__all__ = [
    "AlterSuite",
    "BeatSuite",
    "ClaimSuite",
    "DeadLetterSuite",
    "EnqueueSuite",
    "HistorySuite",
    "Kit",
    "LifecycleSuite",
    "ListSuite",
    "MovesSuite",
    "QueueSuite",
    "RescueSuite",
    "RetentionSuite",
    "SettleSuite",
    "StaleSettleSuite",
    "StoreMaker",
    "StoreSuite",
    "Suite",
    "SweepSuite",
    "WakeupSuite",
]


class StoreSuite(
    EnqueueSuite,
    ClaimSuite,
    BeatSuite,
    SettleSuite,
    StaleSettleSuite,
    DeadLetterSuite,
    RescueSuite,
    SweepSuite,
    RetentionSuite,
    WakeupSuite,
    ListSuite,
    HistorySuite,
    MovesSuite,
    AlterSuite,
    QueueSuite,
    LifecycleSuite,
):
    """Every promise."""
