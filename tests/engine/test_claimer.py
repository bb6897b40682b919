"""The claimer: jobs for free slots, never more, from all its queues, and none while the settler is behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from tests.engine._kit import PATIENCE, FaultyStore, until

from tidewheel import App, StoreError, StoreUnavailable
from tidewheel._engine import patience as patience_module
from tidewheel._engine.claimer import Claimer
from tidewheel._engine.isolation import Isolation
from tidewheel._engine.kinds import Kinds
from tidewheel._engine.patience import Patience
from tidewheel._engine.settler import Settler
from tidewheel._engine.shares import Shares
from tidewheel._model.duration import SECOND
from tidewheel._model.job import Claimed, NewJob
from tidewheel._model.queue import QueueSettings
from tidewheel._model.worker import Want


class StuckSettler:
    """A settler as the claimer sees it."""

    def __init__(self) -> None:
        self.full = False
        self.event = asyncio.Event()

    async def caught_up(self) -> None:
        await self.event.wait()
        self.full = False


class Scene:
    """A claimer whose jobs run until the test frees their slots."""

    def __init__(
        self,
        app: App,
        *queues: str,
        weights: Sequence[int] = (),
        strict: bool = False,
        slots: int = 4,
        poll: float = 60,
        seed: int = 0,
        **per_worker: int,
    ) -> None:
        self.store = FaultyStore(app.env)
        self.settler = StuckSettler()
        self.started: list[Claimed] = []
        self.claimer = Claimer(
            self.store,
            Patience(random.Random(0), app.telemetry),
            cast("Settler", self.settler),  # all of it that is used
            Isolation(),
            random.Random(seed),
            shares=Shares(random.Random(seed), queues or ("default",), weights, strict=strict),
            kinds=Kinds(("k", *per_worker), per_worker),
            slots=slots,
            worker="w",
            lease=30 * SECOND,
            poll=round(poll * SECOND),
            start=self.started.append,
        )
        self.task: asyncio.Task[None] | None = None

    async def put(self, count: int, queue: str = "default", kind: str = "k") -> None:
        prefix = f"{queue}-{kind}-{len(await self.store.list_all())}"
        await self.store.enqueue([NewJob(id=f"{prefix}-{n}", kind=kind, args="{}", queue=queue) for n in range(count)])

    def run(self) -> None:
        self.task = asyncio.create_task(self.claimer.run())

    async def stop(self) -> None:
        self.claimer.stop()
        if self.task is not None:
            await asyncio.wait_for(self.task, PATIENCE)

    def wanted(self) -> list[list[Want]]:
        return self.store.given["claim"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "_FIRST", 0.001)
    monkeypatch.setattr(patience_module, "_LONGEST", 0.002)


@pytest.fixture
async def scene(app: App) -> AsyncIterator[Scene]:
    made = Scene(app)
    yield made
    await made.stop()


# --- one claim ---


async def test_half_of_the_slots_at_most_so_that_one_half_runs_while_the_other_comes(scene: Scene) -> None:
    await scene.put(10)

    assert await scene.claimer.run_once() == 2
    assert await scene.claimer.run_once() == 2
    assert (scene.claimer.free, len(scene.started)) == (0, 4)


async def test_one_slot_is_enough(app: App) -> None:
    scene = Scene(app, slots=1)
    await scene.put(3)
    assert await scene.claimer.run_once() == 1
    assert scene.claimer.free == 0


async def test_slots_are_shared_out_among_queues(app: App) -> None:
    scene = Scene(app, "a", "b", "c", slots=16)
    for queue in "abc":
        await scene.put(10, queue)

    assert await scene.claimer.run_once() == 8
    (wants,) = scene.wanted()
    assert {want.queue for want in wants} == {"a", "b", "c"}
    assert sorted(want.slots for want in wants) == [2, 3, 3]


async def test_what_does_not_divide_goes_to_other_queues_each_time(app: App) -> None:
    scene = Scene(app, "a", "b", "c", slots=2)
    for _ in range(40):
        await scene.claimer.run_once()
    assert {wants[0].queue for wants in scene.wanted()} == {"a", "b", "c"}


@pytest.mark.parametrize("seed", range(6))
async def test_with_fewer_slots_than_queues_all_are_asked_before_it_rests(app: App, seed: int) -> None:
    """Else a worker with one slot would sleep beside a full queue, after looking into an empty one."""
    scene = Scene(app, "a", "b", "c", slots=1, seed=seed)
    await scene.put(1, "b")

    assert await scene.claimer.run_once() == 1
    asked = scene.store.calls["claim"]
    assert await scene.claimer.run_once() == 0
    assert scene.store.calls["claim"] == asked  # no slot is free


async def test_no_slot_is_given_twice_when_several_queues_are_asked(app: App) -> None:
    scene = Scene(app, "a", "b", "c", "d", "e", slots=5)
    for queue in "abcde":
        await scene.put(3, queue)
    while scene.claimer.free:
        await scene.claimer.run_once()
    assert len(scene.started) == 5
    assert all(sum(want.slots for want in wants) <= 3 for wants in scene.wanted())


async def test_unknown_kinds_are_left_for_a_worker_that_knows_them(scene: Scene) -> None:
    await scene.put(2, kind="other")
    await scene.put(1)

    assert await scene.claimer.run_once() == 1
    assert scene.started[0].kind == "k"
    assert await scene.claimer.run_once() == 0


async def test_a_paused_queue_gives_nothing(app: App) -> None:
    scene = Scene(app, "a", "b")
    await scene.put(2, "a")
    await scene.put(1, "b")
    await scene.store.put_queues([QueueSettings(name="a", paused=True)])

    while await scene.claimer.run_once():
        pass
    assert [job.queue for job in scene.started] == ["b"]


async def test_idle_is_who_found_nothing_since_the_last_hint(scene: Scene) -> None:
    assert not scene.claimer.idle
    await scene.claimer.run_once()
    assert scene.claimer.idle
    scene.claimer.wake()
    assert not scene.claimer.idle


# --- the loop ---


async def test_slots_are_filled_and_filled_again(scene: Scene) -> None:
    await scene.put(10)
    scene.run()
    await until(lambda: len(scene.started) == 4)

    for _ in range(6):
        scene.claimer.freed("k")
    await until(lambda: len(scene.started) == 10)
    assert scene.claimer.free == 0


async def test_a_hint_ends_the_rest(scene: Scene) -> None:
    scene.run()
    await until(lambda: scene.claimer.idle)

    await scene.put(1)
    scene.claimer.wake()
    await until(lambda: scene.started)


async def test_a_hint_that_comes_during_a_claim_is_not_lost(scene: Scene) -> None:
    scene.store.doors["claim"] = gate = asyncio.Event()
    scene.store.after["claim"] = []
    scene.run()
    await until(lambda: scene.store.calls["claim"])
    scene.claimer.wake()
    gate.set()
    await until(lambda: scene.store.calls["claim"] == 2)


async def test_without_hints_it_polls(app: App) -> None:
    scene = Scene(app, poll=0.01)
    scene.run()
    await until(lambda: scene.store.calls["claim"] >= 2)
    await scene.put(1)
    await until(lambda: scene.started)
    await scene.stop()


async def test_a_store_that_is_away_is_asked_until_it_is_back(scene: Scene) -> None:
    await scene.put(1)
    scene.store.before["claim"] = [StoreUnavailable("no answer")] * 5
    scene.run()
    await until(lambda: scene.started)
    assert scene.store.calls["claim"] >= 6


async def test_stop_while_the_store_is_away_is_no_error(scene: Scene) -> None:
    scene.store.away.add("claim")
    scene.run()
    await until(lambda: scene.store.calls["claim"] > 3)
    await scene.stop()


async def test_an_error_that_does_not_pass_ends_it_loudly(scene: Scene) -> None:
    scene.store.before["claim"] = [StoreError("damaged")]
    scene.run()
    assert scene.task is not None
    with pytest.raises(StoreError, match="damaged"):
        await asyncio.wait_for(scene.task, PATIENCE)
    scene.task = None


async def test_no_claims_while_the_settler_is_behind(scene: Scene) -> None:
    await scene.put(1)
    scene.settler.full = True
    scene.run()
    await asyncio.sleep(0)
    scene.claimer.wake()
    for _ in range(5):
        await asyncio.sleep(0)
    assert scene.store.calls["claim"] == 0

    scene.settler.event.set()
    await until(lambda: scene.started)


async def test_stop_does_not_wait_for_a_settler_that_is_behind(scene: Scene) -> None:
    scene.settler.full = True
    scene.run()
    await asyncio.sleep(0)
    await scene.stop()


async def test_stop_before_the_start(scene: Scene) -> None:
    await scene.stop()
    scene.run()
    await scene.stop()
    assert scene.store.calls["claim"] == 0
