"""Slots of a limit held by hand: they count with the jobs', and come back when their holder dies."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine._kit import PATIENCE, FaultyStore, faulty_app, running, until

from tidewheel import (
    App,
    ConfigError,
    Env,
    JobState,
    LeaseLost,
    Limit,
    LimitNotFound,
    Rate,
    SlotTimeout,
    StoreUnavailable,
)
from tidewheel import _slots as slots_module
from tidewheel._model.duration import SECOND
from tidewheel._store.memory import MemoryStore


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "_FIRST_POLL", 0.02)
    monkeypatch.setattr(slots_module, "_LONGEST_POLL", 0.04)
    monkeypatch.setattr(slots_module, "_PAUSE", 0.001)


def declare(app: App) -> None:
    @app.task(
        concurrency=[Limit(2, name="api"), Limit(1, key="args.tenant", name="tenant")], rate=Rate(9, per=1, name="r")
    )
    async def work(tenant: str) -> None:
        await asyncio.sleep(0)


async def echo(value: int) -> int:
    return value


@pytest.fixture
def limited(app: App) -> App:
    declare(app)
    return app


async def test_a_slot_is_held_for_the_block(limited: App) -> None:
    async with limited.limits.slot("api") as slot:
        (gate,) = await limited.limits.gates("api")
        assert gate.used == 1
        assert not slot.lost
        slot.check()
    (gate,) = await limited.limits.gates("api")
    assert gate.used == 0


async def test_never_more_than_there_are_slots_and_everybody_has_a_turn(limited: App) -> None:
    inside = most = 0
    order: list[int] = []

    async def enter(number: int) -> None:
        nonlocal inside, most
        async with limited.limits.slot("api", wait=PATIENCE):
            order.append(number)
            inside += 1
            most = max(most, inside)
            for _ in range(5):
                await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter(number) for number in range(12)))
    assert most == 2
    assert sorted(order) == list(range(12))
    assert not [job for job in (await limited.jobs.list()).jobs if not job.state.final]


async def test_keys_are_apart(limited: App) -> None:
    slot = limited.limits.slot
    async with slot("tenant", key="acme"), slot("tenant", key="bobs", wait=0):
        with pytest.raises(SlotTimeout, match=r"No slot of tenant:acme is free\."):
            await slot("tenant", key="acme", wait=0).acquire()
    async with slot("tenant", key="acme", wait=0):
        pass


async def test_jobs_and_hands_share_the_limit(limited: App) -> None:
    async with limited.limits.slot("tenant", key="acme"):
        job = await limited.tasks["work"].enqueue("acme")
        async with running(limited) as worker:
            await until(lambda: _state(limited, job.id, JobState.PARKED))
            assert worker.done == 0
            asyncio.get_running_loop().call_later(0.02, asyncio.ensure_future, asyncio.sleep(0))
            with pytest.raises(SlotTimeout):
                await limited.limits.slot("tenant", key="acme", wait=0.05).acquire()
    async with running(limited):
        await job.result(PATIENCE)


async def _state(app: App, job_id: str, state: JobState) -> bool:
    row = await app.jobs.info(job_id)
    return row is not None and row.state is state


async def test_who_gives_up_leaves_nothing_behind(limited: App) -> None:
    async with limited.limits.slot("tenant", key="acme"):
        with pytest.raises(TimeoutError, match="became free within 30ms"):
            await limited.limits.slot("tenant", key="acme", wait=0.03).acquire()
        waiting = asyncio.create_task(limited.limits.slot("tenant", key="acme").acquire())
        await until(lambda: _parked(limited))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [job.state for job in (await limited.jobs.list()).jobs] == [JobState.RUNNING]


async def _parked(app: App) -> bool:
    return any(job.state is JobState.PARKED for job in (await app.jobs.list()).jobs)


async def test_the_block_may_fail(limited: App) -> None:
    with pytest.raises(ZeroDivisionError):
        async with limited.limits.slot("tenant", key="acme"):
            raise ZeroDivisionError
    async with limited.limits.slot("tenant", key="acme", wait=0):
        pass


async def test_the_lease_is_extended_and_the_process_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "_LEASE", round(0.06 * SECOND))
    limited, store = faulty_app()
    declare(limited)
    async with limited.limits.slot("tenant", key="acme") as slot:
        await until(lambda: store.calls["beat"] > 6)  # two leases long
        await store.sweep()
        slot.check()
        (worker,) = await limited.workers.list()
        assert (worker.info.queues, worker.info.running) == (("tidewheel.slots",), 1)
    await until(lambda: _no_workers(limited))


async def _no_workers(app: App) -> bool:
    return not await app.workers.list()


async def test_the_slot_of_a_dead_holder_comes_back_where_no_worker_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "_LEASE", round(0.1 * SECOND))
    store = MemoryStore(Env())
    apps = [App("memory://"), App("memory://")]
    for app in apps:
        declare(app)
        app._store = store
    dead = apps[0].limits.slot("tenant", key="acme")
    await dead.acquire()
    await apps[0].slot_holder.close()  # as if its process had been killed
    async with apps[1].limits.slot("tenant", key="acme", wait=PATIENCE):
        pass
    await dead.release()  # too late: refused, and harmless


async def test_a_lost_slot_says_so(limited: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "_LEASE", round(0.06 * SECOND))
    async with limited.limits.slot("tenant", key="acme") as slot:
        (job,) = (await limited.jobs.list()).jobs
        await limited.jobs.cancel([job.id])
        await until(lambda: slot.lost)
        with pytest.raises(LeaseLost, match="tenant:acme"):
            slot.check()


async def test_a_store_that_is_away_at_the_end_costs_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    app, store = faulty_app()
    declare(app)
    slot = app.limits.slot("api")
    await slot.acquire()
    store.before["settle"] = [StoreUnavailable("away")]
    await slot.release()
    (gate,) = await app.limits.gates("api")
    assert gate.used == 1
    assert isinstance(store, FaultyStore)
    await slot.release()  # nothing more to do


async def test_a_claim_that_nobody_waits_for_is_given_back() -> None:
    app, store = faulty_app()
    declare(app)
    store.doors["claim"] = door = asyncio.Event()
    waiting = asyncio.create_task(app.limits.slot("api").acquire())
    await until(lambda: store.calls["claim"])
    waiting.cancel()
    await asyncio.sleep(0)
    door.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [gate.used for gate in await app.limits.gates("api")] == [0]


async def test_from_sync_code(limited: App) -> None:
    def sync() -> int:
        slot = limited.limits.slot("api", wait="5s")
        limited.run_sync(slot.acquire())
        try:
            return limited.run_sync(limited.limits.gates("api"))[0].used
        finally:
            limited.run_sync(slot.release())

    await limited.close()
    assert await asyncio.to_thread(sync) == 1


async def test_one_slot_at_a_time(limited: App) -> None:
    slot = limited.limits.slot("api")
    async with slot:
        with pytest.raises(RuntimeError, match="holds one slot at a time"):
            await slot.acquire()
    async with slot:
        pass


async def test_limits_that_nobody_can_hold(limited: App) -> None:
    with pytest.raises(LimitNotFound, match="Did you mean 'api'"):
        await limited.limits.slot("apo").acquire()
    with pytest.raises(ConfigError, match="is a rate: nobody holds it"):
        await limited.limits.slot("r").acquire()
    limited.task(concurrency=Limit(1, key="args.value", name="line", order="block"))(echo)
    with pytest.raises(ConfigError, match="only jobs can keep a place"):
        await limited.limits.slot("line", key=1).acquire()
    with pytest.raises(ConfigError, match="Say whose it is"):
        await limited.limits.slot("tenant").acquire()
    with pytest.raises(ConfigError, match="has no keys"):
        await limited.limits.slot("api", key=5).acquire()
    for wait in ("25h", -1, "soon"):
        with pytest.raises(ConfigError, match="wait"):
            limited.limits.slot("api", wait=wait)
