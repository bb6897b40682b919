"""Calls of the store fail, lose their replies, come late or come twice; and workers die at labelled points between them."""

from __future__ import annotations

import random
from typing import Final

from tests.chaos.faults.base import Fault

from tidewheel.testing import faults
from tidewheel.testing.faults import FaultPlan, Point

CALLS: Final = "TIDEWHEEL_CHAOS_CALLS"
"""The environment variable with the plan of a worker."""
RATES: Final = {
    faults.Fault.REFUSE: 0.02,
    faults.Fault.FORGET: 0.02,
    faults.Fault.DELAY: 0.02,
    faults.Fault.REPEAT: 0.02,
}
POINTS: Final = tuple(
    (call, fault)
    for call in ("claim", "settle", "beat", "sweep")
    for fault in (faults.Fault.DIE_BEFORE, faults.Fault.DIE_AFTER)
)
"""Where workers die: before a claim, after it and before the start of what it brought, after a body and before its
outcome is written, after that and before the answer, and so on."""


class Calls(Fault):
    """A plan for each worker: a few faults of every sort, and for one in three a point at which it dies."""

    name = "calls"

    def environment(self, dice: random.Random) -> dict[str, str]:
        points: tuple[Point, ...] = ()
        seed, (call, fault), nth = dice.randrange(1 << 30), dice.choice(POINTS), dice.randint(1, 30)
        if dice.random() < 1 / 3:
            points = (Point(call, fault, 1 + nth // 5 if call == "sweep" else nth),)
        return {CALLS: FaultPlan(rates=dict(RATES), points=points, seed=seed).encode()}
