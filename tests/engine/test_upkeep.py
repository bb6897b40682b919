"""Sweeper and listener: the next due time, pruning by rule, hints that break off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, FaultyStore, until

from tidewheel import Retention, StoreError, StoreFull, StoreUnavailable, keep
from tidewheel._engine import listener as listener_module
from tidewheel._engine import patience as patience_module
from tidewheel._engine import sweeper as sweeper_module
from tidewheel._engine.listener import Listener
from tidewheel._engine.patience import Patience
from tidewheel._engine.sweeper import Sweeper
from tidewheel._model.duration import SECOND
from tidewheel._model.job import NewJob
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import SweepReport
from tidewheel._model.retention import RetentionRule
from tidewheel._model.worker import Wakeup, Want
from tidewheel._telemetry import Telemetry
from tidewheel.testing import FakeClock, fake_env

RULES = [RetentionRule("k", "default", Retention(keep(0), keep(0)))]


class Scene:
    """A store with a clock that stands still, and a sweeper whose pauses are looked at, not slept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.store = FaultyStore(fake_env(self.clock))
        self.patience = Patience(random.Random(0), Telemetry(self.clock))
        self.sweeper = Sweeper(self.store, self.patience, random.Random(0), lambda: RULES, 30 * SECOND)
        self.pauses: list[float] = []
        self.timed = asyncio.timeout
        monkeypatch.setattr(patience_module, "_FIRST", 0.001)
        monkeypatch.setattr(patience_module, "_LONGEST", 0.002)
        monkeypatch.setattr(sweeper_module, "_AFTER_OUTAGE", 0)

    async def put(self, **changes: Any) -> None:
        await self.store.enqueue(
            [NewJob(id=f"j{len(await self.store.list_all())}", kind="k", args="{}", max_attempts=3, **changes)]
        )

    async def complete(self, count: int) -> None:
        await self.store.enqueue([NewJob(id=f"done-{n}", kind="k", args="{}") for n in range(count)])
        claimed = await self.store.claim([Want("default", count)], kinds=["k"], worker="w", lease=SECOND)
        await self.store.settle([Settlement(job.lease, Complete("1")) for job in claimed])

    async def rest(self, report: SweepReport, monkeypatch: pytest.MonkeyPatch) -> tuple[float, bool]:
        """How long the sweeper would sleep now, and whether the next sweep is a regular one."""
        asked: list[float] = []

        def timeout(seconds: float) -> asyncio.Timeout:
            asked.append(seconds)
            return self.timed(0)

        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "timeout", timeout)
            regular = await self.sweeper._rest(report)
        return (asked[0] if asked else 0.0), regular


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_a_sweep_promotes_rescues_and_reports(scene: Scene) -> None:
    await scene.put(delay=10 * SECOND)
    await scene.put()
    await scene.store.claim([Want("default", 5)], kinds=["k"], worker="w", lease=5 * SECOND)
    scene.clock.advance("20s")

    report = await scene.sweeper.run_once(prune=False)

    assert (report.promoted, report.rescued) == (1, 1)
    assert scene.store.given["sweep"] == [{"retention": (), "worker_gone_after": 90 * SECOND}]


async def test_the_rules_reach_the_store_when_it_prunes(scene: Scene) -> None:
    await scene.complete(3)

    assert (await scene.sweeper.run_once(prune=False)).pruned == 0
    assert (await scene.sweeper.run_once(prune=True)).pruned == 3
    assert scene.store.given["sweep"][1]["retention"] == RULES


async def test_the_pause_ends_at_the_next_due_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def report(due: float | None, **changes: Any) -> SweepReport:
        due_at = None if due is None else scene.clock() + round(due * SECOND)
        return SweepReport(now=scene.clock(), next_due_at=due_at, **changes)

    for due, low, high, regular in [
        (None, 2.5, 7.5, True),
        (60.0, 2.5, 7.5, True),
        (1.0, 1.0, 1.01, False),
        (0.0, 0.0, 0.01, False),
        (-5.0, 0.0, 0.01, False),
    ]:
        pause, is_regular = await scene.rest(report(due), monkeypatch)
        assert low <= pause <= high, due
        assert is_regular is regular, due
    assert await scene.rest(report(60.0, more=True), monkeypatch) == (0.0, False)


async def test_a_hint_ends_the_pause(scene: Scene) -> None:
    resting = asyncio.create_task(scene.sweeper._rest(SweepReport()))
    await asyncio.sleep(0)
    scene.sweeper.wake()
    assert await asyncio.wait_for(resting, PATIENCE) is False


async def test_pruning_goes_on_while_there_is_more(scene: Scene) -> None:
    """A busy worker makes more than one batch of finished jobs between two prunings: the rest must not wait."""
    await scene.complete(2500)
    sweeping = asyncio.create_task(scene.sweeper.run())
    await until(lambda: not scene.store._rows)
    await asyncio.sleep(0)
    sweeping.cancel()

    assert [bool(options["retention"]) for options in scene.store.given["sweep"]] == [True, True, True]


async def test_only_every_third_regular_sweep_prunes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def rest(report: SweepReport) -> bool:
        await asyncio.sleep(0)
        return True

    monkeypatch.setattr(scene.sweeper, "_rest", rest)
    sweeping = asyncio.create_task(scene.sweeper.run())
    await until(lambda: scene.store.calls["sweep"] >= 7)
    sweeping.cancel()

    pruned = [bool(options["retention"]) for options in scene.store.given["sweep"]]
    assert pruned[:7] == [True, False, False, True, False, False, True]


async def test_a_store_that_is_back_first_hears_of_what_was_done_meanwhile(scene: Scene) -> None:
    """Leases ended in the outage: a sweep as the very first call would make finished jobs run again."""
    outage, tries = asyncio.Event(), 0

    async def settle() -> None:
        nonlocal tries
        tries += 1
        if not outage.is_set():
            raise StoreUnavailable("no answer")

    settling = asyncio.create_task(scene.patience.insist(settle))
    scene.store.before["sweep"] = [StoreUnavailable("no answer")]
    sweeping = asyncio.create_task(scene.sweeper.run_once(prune=True))
    await until(lambda: scene.store.calls["sweep"])
    sweeping.add_done_callback(lambda _: order.append("sweep"))
    settling.add_done_callback(lambda _: order.append("settle"))
    order: list[str] = []
    await until(lambda: tries > 10)
    assert scene.store.calls["sweep"] == 1

    outage.set()
    await asyncio.wait_for(sweeping, PATIENCE)
    assert order == ["settle", "sweep"]


async def test_a_full_store_is_swept_whoever_waits(scene: Scene) -> None:
    async def settle() -> None:
        raise StoreFull("no room")

    settling = asyncio.create_task(scene.patience.insist(settle))
    scene.store.before["sweep"] = [StoreFull("no room")]
    await asyncio.wait_for(scene.sweeper.run_once(prune=True), PATIENCE)
    assert scene.store.calls["sweep"] == 2
    settling.cancel()


async def test_an_error_that_does_not_pass_is_not_swallowed(scene: Scene) -> None:
    scene.store.before["sweep"] = [StoreError("damaged")]
    with pytest.raises(StoreError, match="damaged"):
        await scene.sweeper.run_once(prune=False)


# --- listener ---

Calls = dict[Wakeup, Callable[[], None]]


@pytest.fixture
async def listening(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sequence[Wakeup]]:
    monkeypatch.setattr(listener_module, "_PAUSE", 0.001)
    heard: list[Wakeup] = []
    calls: Calls = {
        kind: (lambda kind=kind: heard.append(kind))  # type: ignore[misc]
        for kind in (Wakeup.WORK, Wakeup.DUE, Wakeup.CONTROL)
    }
    scene.store.before["wakeups"] = [StoreUnavailable("no answer")] * 2
    task = asyncio.create_task(Listener(scene.store, random.Random(0), calls).run())
    await until(lambda: scene.store.calls["wakeups"] == 3)
    await asyncio.sleep(0)
    yield heard
    task.cancel()


async def test_hints_reach_whom_they_concern_also_after_a_break(scene: Scene, listening: Sequence[Wakeup]) -> None:
    await scene.put()
    await until(lambda: list(listening) == [Wakeup.WORK])
    await scene.put(delay=SECOND)
    await until(lambda: list(listening) == [Wakeup.WORK, Wakeup.DUE])


async def test_hints_that_cannot_be_had_at_all_end_it_loudly(scene: Scene) -> None:
    scene.store.before["wakeups"] = [StoreError("never")]
    with pytest.raises(StoreError, match="never"):
        await Listener(scene.store, random.Random(0), {}).run()
