"""The settler: outcomes in batches, repeated while the store is away, and one that cannot be written alone."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator

import pytest
from tests.engine._kit import PATIENCE, FaultyStore, until

from tidewheel import App, ErrorInfo, JobState, StoreError, StoreUnavailable
from tidewheel._engine import patience as patience_module
from tidewheel._engine.patience import Patience
from tidewheel._engine.settler import Settler
from tidewheel._model.duration import SECOND
from tidewheel._model.job import Lease, NewJob
from tidewheel._model.outcome import Complete, Discarded, Outcome, RetryLater, Settlement
from tidewheel._model.worker import Want


class Scene:
    """Running jobs in a store, and a settler for them."""

    def __init__(self, app: App, lease: float = 30) -> None:
        self.store = FaultyStore(app.env)
        self.stale: list[Settlement] = []
        self.hurried = False
        patience = Patience(random.Random(0), app.telemetry)
        self.settler = Settler(
            self.store, patience, round(lease * SECOND), stale=self.stale.append, hurried=lambda: self.hurried
        )
        self.task = asyncio.create_task(self.settler.run())

    async def jobs(self, count: int) -> list[Lease]:
        await self.store.enqueue([NewJob(id=f"job-{n}", kind="k", args="{}", on_dead="tell") for n in range(count)])
        claimed = await self.store.claim([Want("default", count)], kinds=["k"], worker="w", lease=10**12)
        return [job.lease for job in claimed]

    def add(self, lease: Lease, outcome: Outcome | None = None) -> None:
        self.settler.add(Settlement(lease, outcome or Complete("1")))

    async def states(self) -> list[JobState]:
        return [job.state for job in (await self.store.list_all())]

    async def close(self) -> None:
        self.settler.close()
        await asyncio.wait_for(self.task, PATIENCE)


@pytest.fixture
async def scene(app: App, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(patience_module, "_FIRST", 0.001)
    monkeypatch.setattr(patience_module, "_LONGEST", 0.002)
    made = Scene(app)
    yield made
    made.hurried = True
    await made.close()


async def test_what_comes_at_once_is_written_at_once(scene: Scene) -> None:
    for lease in await scene.jobs(3):
        scene.add(lease)
    await asyncio.wait_for(scene.settler.caught_up(), PATIENCE)

    assert scene.store.calls["settle"] == 1
    assert await scene.states() == [JobState.COMPLETED] * 3
    assert scene.settler.backlog == 0


async def test_what_comes_while_one_batch_is_written_is_the_next(scene: Scene) -> None:
    scene.store.doors["settle"] = gate = asyncio.Event()
    leases = await scene.jobs(1200)
    scene.add(leases[0])
    await until(lambda: scene.store.calls["settle"])
    for lease in leases[1:]:
        scene.add(lease)

    assert scene.settler.full
    assert scene.settler.backlog == 1199
    gate.set()
    await asyncio.wait_for(scene.settler.caught_up(), PATIENCE)
    assert [len(batch) for batch in scene.store.given["settle"]] == [1, 500, 500, 199]
    assert not scene.settler.full


async def test_closing_writes_what_is_left(scene: Scene) -> None:
    for lease in await scene.jobs(2):
        scene.add(lease)
    await scene.close()
    assert await scene.states() == [JobState.COMPLETED] * 2


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_store_that_is_away_is_asked_again_and_nothing_is_doubled(scene: Scene, where: str) -> None:
    """`after`: the write was done, only its answer was lost."""
    boom = ErrorInfo("E", "boom")
    outcomes: list[Outcome] = [Complete("1"), RetryLater(10**9, boom), Discarded(boom)]
    faults = scene.store.before if where == "before" else scene.store.after
    faults["settle"] = [StoreUnavailable("no answer")] * 3

    leases = await scene.jobs(3)
    for lease, outcome in zip(leases, outcomes, strict=True):
        scene.add(lease, outcome)
    await asyncio.wait_for(scene.settler.caught_up(), PATIENCE)

    assert scene.store.calls["settle"] == 4
    assert scene.stale == []
    *ours, told = await scene.store.list_all()
    assert [job.state for job in ours] == [JobState.COMPLETED, JobState.RETRYABLE, JobState.DISCARDED]
    assert (told.kind, told.state) == ("tell", JobState.AVAILABLE)
    for lease, count in zip(leases, [0, 1, 1], strict=True):
        history = await scene.store.history(lease.job_id)
        assert history is not None
        assert len(history.attempts) == count


async def test_the_store_is_waited_for_longer_than_a_lease_lasts(app: App, scene: Scene) -> None:
    """A lease that is over but was taken by nobody still settles: what was done must not be done again."""
    short = Scene(app, lease=0.001)
    (lease,) = await short.jobs(1)
    short.store.away.add("settle")
    short.add(lease)
    await until(lambda: short.store.calls["settle"] > 10)

    short.store.away.clear()
    await asyncio.wait_for(short.settler.caught_up(), PATIENCE)
    assert await short.states() == [JobState.COMPLETED]
    await short.close()


@pytest.mark.parametrize("how", ["lease over", "hurried"])
async def test_at_the_end_it_does_not_wait_for_ever(
    app: App, scene: Scene, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    ending = Scene(app, lease=0.01 if how == "lease over" else 30)
    for lease in await ending.jobs(2):
        ending.add(lease)
    ending.store.away.add("settle")
    await until(lambda: ending.store.calls["settle"])

    ending.hurried = how == "hurried"
    await ending.close()
    assert "2 outcomes could not be written (StoreUnavailable" in caplog.text
    assert "will run again" in caplog.text


@pytest.mark.parametrize("error", [StoreError("row too large"), UnicodeEncodeError("utf-8", "\udce9", 0, 1, "no")])
async def test_one_that_cannot_be_written_does_not_hurt_its_neighbours(
    scene: Scene, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    leases = await scene.jobs(4)
    bad = leases[1]
    settle = scene.store.settle

    async def picky(settlements: list[Settlement], *, now: int | None = None) -> object:
        if any(one.lease == bad for one in settlements):
            raise error
        return await settle(settlements, now=now)

    scene.store.settle = picky  # type: ignore[method-assign, assignment]
    for lease in leases:
        scene.add(lease)
    await asyncio.wait_for(scene.settler.caught_up(), PATIENCE)

    assert [job.state is JobState.COMPLETED for job in await scene.store.list_all()] == [True, False, True, True]
    assert "1 outcomes could not be written" in caplog.text
    assert not scene.task.done()


async def test_a_stale_outcome_is_told(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (lease,) = await scene.jobs(1)
        scene.add(Lease(lease.job_id, lease.epoch + 5))
        scene.add(lease)
        await asyncio.wait_for(scene.settler.caught_up(), PATIENCE)
    assert [one.lease.epoch for one in scene.stale] == [lease.epoch + 5]
    assert await scene.states() == [JobState.COMPLETED]
