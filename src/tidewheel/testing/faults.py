"""A store on which calls go wrong on command: to see what workers, and your own code, make of that.

    from tidewheel.testing.faults import Fault, FaultPlan, Point, inject

    inject(app, FaultPlan(rates={Fault.FORGET: 0.1}, seed=7))             # one call in ten loses its reply
    inject(app, FaultPlan(points=(Point("settle", Fault.DIE_AFTER, 3),)))  # dies behind the third settle

It stands between an app and its store, so neither the engine nor the stores know of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Final, cast

import msgspec

from tidewheel import App, StoreUnavailable
from tidewheel._store.base import Store


class Fault(StrEnum):
    """What can happen to a call of the store."""

    REFUSE = "refuse"
    """Nothing is done; the caller hears `StoreUnavailable`."""
    FORGET = "forget"
    """It is done, but the reply is lost: the caller hears `StoreUnavailable`, too."""
    DELAY = "delay"
    """It is done after a while."""
    REPEAT = "repeat"
    """It is done twice, as by a caller who did not hear the first answer; the second answer counts."""
    DIE_BEFORE = "die before"
    """The process is killed (SIGKILL) instead of the call."""
    DIE_AFTER = "die after"
    """The process is killed when the call is done and its answer is not yet used."""


CALLS: Final = (
    "enqueue", "claim", "beat", "settle", "sweep", "get", "list", "history", "alter", "put_queues", "queues", "workers",
)  # fmt: skip
"""The calls that can go wrong: all that touch jobs. Opening, closing and listening are left as they are."""


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A labelled point: the `nth` call of a name, counted from 1 in each process."""

    call: str
    fault: Fault
    nth: int = 1


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong, as a value that can be handed to another process: `encode`, `decode`."""

    rates: dict[Fault, float] = {}
    """The part of the calls, 0 to 1, that each fault hits by chance."""
    points: tuple[Point, ...] = ()
    """What goes wrong for sure, whatever the dice say."""
    calls: tuple[str, ...] = CALLS
    """The calls that `rates` are about."""
    delay: float = 0.1
    """Seconds of the longest delay; each is between 0 and this."""
    seed: int = 0
    """The same seed and the same calls, the same faults."""

    def __post_init__(self) -> None:
        """Check what is given.

        Raises:
            ValueError: an unknown call, or rates that are no parts of 1.
        """
        unknown = {*self.calls, *(point.call for point in self.points)} - set(CALLS)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no such call. Known: {', '.join(CALLS)}.")
        if any(rate < 0 for rate in self.rates.values()) or sum(self.rates.values()) > 1:
            raise ValueError(f"rates={self.rates} must not be negative, and together at most 1.")

    def encode(self) -> str:
        """As JSON text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> FaultPlan:
        """The plan that `encode` wrote.

        Raises:
            ValueError: the text is none.
        """
        return msgspec.json.decode(text, type=cls)


def _unheard(call: str, fault: Fault) -> None:
    """Nobody wants to hear of faults."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FaultyStore:
    """Passes every call on to `inner`, but for what the plan says. Use it as a `Store`.

    `told` hears of every fault before it takes effect; `die` is what a killed process does (tests replace it).
    """

    def __init__(
        self,
        inner: Store,
        plan: FaultPlan,
        *,
        told: Callable[[str, Fault], None] = _unheard,
        die: Callable[[], None] = _die,
    ) -> None:
        self.inner = inner
        self.plan = plan
        self._told = told
        self._die = die
        self._random = random.Random(plan.seed)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        """The operation `name` of the inner store, made faulty when it is one of `CALLS`."""
        operation = getattr(self.inner, name)
        if name not in CALLS:
            return operation

        async def call(*args: Any, **options: Any) -> Any:
            return await self._call(name, lambda: operation(*args, **options))

        return call

    def sibling(self) -> Any:
        """As the inner store; a sibling of its own goes by the same plan with the same dice and counts."""
        other = self.inner.sibling()
        if other is self.inner:
            return self
        made = FaultyStore(other, self.plan, told=self._told, die=self._die)
        made._random, made._lock, made._counts = self._random, self._lock, self._counts
        return made

    async def _call(self, name: str, operation: Callable[[], Awaitable[Any]]) -> Any:
        fault, pause = self._next(name)
        if fault is not None:
            self._told(name, fault)
        if fault is Fault.REFUSE:
            raise StoreUnavailable(f"A test refuses this call of {name}: nothing was done.")
        if fault is Fault.DIE_BEFORE:
            self._die()
        elif fault is Fault.DELAY:
            await asyncio.sleep(pause)
        answer = await operation()
        if fault is Fault.FORGET:
            raise StoreUnavailable(f"A test lost the reply to this call of {name}: it was done.")
        if fault is Fault.DIE_AFTER:
            self._die()
        elif fault is Fault.REPEAT:
            answer = await operation()
        return answer

    def _next(self, name: str) -> tuple[Fault | None, float]:
        """What happens to this call, and how long it would be delayed."""
        with self._lock:
            self._counts[name] += 1
            nth, dice, pause = self._counts[name], self._random.random(), self._random.uniform(0, self.plan.delay)
        for point in self.plan.points:
            if (point.call, point.nth) == (name, nth):
                return point.fault, pause
        if name in self.plan.calls:
            for fault, rate in self.plan.rates.items():
                if dice < rate:
                    return fault, pause
                dice -= rate
        return None, pause


def inject(
    app: App,
    plan: FaultPlan,
    *,
    told: Callable[[str, Fault], None] = _unheard,
    die: Callable[[], None] = _die,
) -> None:
    """Put a `FaultyStore` between an app that is not open yet and its store.

    Raises:
        RuntimeError: the app is open.
    """
    if app._loop is not None:  # noqa: SLF001 -- an app has no other place for a store than the one its URL means
        raise RuntimeError("The app is open: what holds its store would not notice. Inject faults before it is opened.")
    app._store = cast("Store", FaultyStore(app._store, plan, told=told, die=die))  # noqa: SLF001 -- the same
