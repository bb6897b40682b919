"""The promises of `tidewheel._store.base`, as tests that any store can run.

A test module of a store is a fixture and an import:

    from tidewheel.testing.conformance import *
    from tidewheel.testing.conformance.kit import StoreMaker

    @pytest.fixture
    def make_store() -> StoreMaker:
        return lambda env: MyStore(env)          # a new, empty store that is not open yet

One file and one class per theme; import fewer classes when a store cannot do all yet. Needs pytest and
pytest-asyncio (any mode). Every test gives the store the time (`now=`), so a server's store, which has a clock of
its own, runs the same tests. Nothing sleeps.
"""

# ruff: noqa: E402  (the modules are imported after pytest was told to explain their asserts)

import pytest

_MODULES = (
    *(
        "kit",
        "alter",
        "backlog",
        "beat",
        "claim",
        "dead",
        "enqueue",
        "expiry",
        "gates_hold",
        "gates_limits",
        "gates_rates",
        "gates_several",
    ),
    *("gates_slots", "history", "last_life", "lifecycle", "listing", "moves", "queues", "rescue", "retention"),
    *("gates_order", "places", "graph_ends", "graph_enqueue", "graph_kit", "graph_retry", "graph_shapes"),
    *("rules_keys", "rules_replace", "rules_window", "settle", "settle_stale", "sweep", "wakeups"),
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES))

from tidewheel.testing.conformance.alter import TestAlter
from tidewheel.testing.conformance.backlog import TestBacklog
from tidewheel.testing.conformance.beat import TestBeat
from tidewheel.testing.conformance.claim import TestClaim
from tidewheel.testing.conformance.dead import TestDeadLetters
from tidewheel.testing.conformance.enqueue import TestEnqueue
from tidewheel.testing.conformance.expiry import TestExpiry
from tidewheel.testing.conformance.gates_breaker import TestGatesBreaker
from tidewheel.testing.conformance.gates_hold import TestGatesHold
from tidewheel.testing.conformance.gates_limits import TestGatesLimits
from tidewheel.testing.conformance.gates_order import TestGatesOrder
from tidewheel.testing.conformance.gates_rates import TestGatesRates
from tidewheel.testing.conformance.gates_several import TestGatesSeveral
from tidewheel.testing.conformance.gates_slots import TestGatesSlots
from tidewheel.testing.conformance.graph_ends import TestGraphEnds
from tidewheel.testing.conformance.graph_enqueue import TestGraphEnqueue
from tidewheel.testing.conformance.graph_retry import TestGraphRetry
from tidewheel.testing.conformance.graph_shapes import TestGraphShapes
from tidewheel.testing.conformance.history import TestHistory
from tidewheel.testing.conformance.last_life import TestLastLife
from tidewheel.testing.conformance.lifecycle import TestLifecycle
from tidewheel.testing.conformance.listing import TestList
from tidewheel.testing.conformance.moves import TestMoves
from tidewheel.testing.conformance.places import TestPlaces
from tidewheel.testing.conformance.queues import TestQueues
from tidewheel.testing.conformance.rescue import TestRescue
from tidewheel.testing.conformance.retention import TestRetention
from tidewheel.testing.conformance.rules_keys import TestRulesKeys
from tidewheel.testing.conformance.rules_replace import TestRulesReplace
from tidewheel.testing.conformance.rules_window import TestRulesWindow
from tidewheel.testing.conformance.settle import TestSettle
from tidewheel.testing.conformance.settle_stale import TestSettleStale
from tidewheel.testing.conformance.sweep import TestSweep
from tidewheel.testing.conformance.wakeups import TestWakeups

__all__ = [
    "TestAlter",
    "TestBacklog",
    "TestBeat",
    "TestClaim",
    "TestDeadLetters",
    "TestEnqueue",
    "TestExpiry",
    "TestGatesBreaker",
    "TestGatesHold",
    "TestGatesLimits",
    "TestGatesOrder",
    "TestGatesRates",
    "TestGatesSeveral",
    "TestGatesSlots",
    "TestGraphEnds",
    "TestGraphEnqueue",
    "TestGraphRetry",
    "TestGraphShapes",
    "TestHistory",
    "TestLastLife",
    "TestLifecycle",
    "TestList",
    "TestMoves",
    "TestPlaces",
    "TestQueues",
    "TestRescue",
    "TestRetention",
    "TestRulesKeys",
    "TestRulesReplace",
    "TestRulesWindow",
    "TestSettle",
    "TestSettleStale",
    "TestSweep",
    "TestWakeups",
]
