"""The faulty store does what its plan says, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tidewheel import App, StoreUnavailable
from tidewheel._model.job import NewJob
from tidewheel._model.query import JobFilter
from tidewheel._store.base import Store
from tidewheel._store.memory import MemoryStore
from tidewheel.testing import fake_env
from tidewheel.testing.faults import CALLS, Fault, FaultPlan, FaultyStore, Point, inject


class Died(BaseException):
    """What a killed process is here."""


def die() -> None:
    raise Died


async def faulty(plan: FaultPlan) -> tuple[FaultyStore, list[tuple[str, Fault]]]:
    inner = MemoryStore(fake_env())
    await inner.open()
    told: list[tuple[str, Fault]] = []
    return FaultyStore(inner, plan, told=lambda call, fault: told.append((call, fault)), die=die), told


def at(fault: Fault, call: str = "enqueue", nth: int = 1) -> FaultPlan:
    return FaultPlan(points=(Point(call, fault, nth),), delay=0.0)


def job(id: str = "a") -> NewJob:
    return NewJob(id=id, kind="k", args="{}")


async def count(store: FaultyStore) -> int:
    return len((await store.inner.list(JobFilter())).jobs)


async def test_a_refused_call_did_nothing() -> None:
    store, told = await faulty(at(Fault.REFUSE))
    with pytest.raises(StoreUnavailable, match="refuses this call of enqueue: nothing was done"):
        await store.enqueue([job()])
    assert await count(store) == 0
    assert told == [("enqueue", Fault.REFUSE)]
    assert (await store.enqueue([job()]))[0].inserted


async def test_a_forgotten_call_did_what_it_should_and_lost_its_reply() -> None:
    store, _ = await faulty(at(Fault.FORGET))
    with pytest.raises(StoreUnavailable, match="lost the reply to this call of enqueue: it was done"):
        await store.enqueue([job()])
    assert await count(store) == 1
    assert not (await store.enqueue([job()]))[0].inserted


async def test_a_repeated_call_gives_the_second_answer() -> None:
    store, _ = await faulty(at(Fault.REPEAT))
    assert not (await store.enqueue([job()]))[0].inserted
    assert await count(store) == 1


async def test_a_delayed_call_comes_to_its_end() -> None:
    store, told = await faulty(at(Fault.DELAY))
    assert (await store.enqueue([job()]))[0].inserted
    assert told == [("enqueue", Fault.DELAY)]


@pytest.mark.parametrize(("fault", "done"), [(Fault.DIE_BEFORE, 0), (Fault.DIE_AFTER, 1)])
async def test_a_process_dies_before_or_after_the_call(fault: Fault, done: int) -> None:
    store, told = await faulty(at(fault))
    with pytest.raises(Died):
        await store.enqueue([job()])
    assert await count(store) == done
    assert told == [("enqueue", fault)]  # said before it takes effect: afterwards there is nobody to say it


async def test_a_point_is_one_call_of_one_name() -> None:
    store, told = await faulty(at(Fault.REFUSE, "get", 3))
    await store.enqueue([job()])
    await store.get(["a"])
    await store.get(["a"])
    with pytest.raises(StoreUnavailable):
        await store.get(["a"])
    await store.get(["a"])
    assert told == [("get", Fault.REFUSE)]


async def test_rates_hit_about_as_many_calls_as_they_say_and_the_same_ones_again() -> None:
    stories = []
    for _ in range(2):
        store, told = await faulty(
            FaultPlan(rates={Fault.REFUSE: 0.2, Fault.FORGET: 0.1}, calls=("get",), seed=5, delay=0.0)
        )
        for _ in range(500):
            await asyncio.gather(store.get(["a"]), store.queues(), return_exceptions=True)
        stories.append(told)
    assert stories[0] == stories[1]
    counts = Counter(stories[0])
    assert set(counts) == {("get", Fault.REFUSE), ("get", Fault.FORGET)}
    assert 60 < counts["get", Fault.REFUSE] < 140
    assert 25 < counts["get", Fault.FORGET] < 85


async def test_what_is_no_call_is_passed_on() -> None:
    store, told = await faulty(FaultPlan(rates={Fault.REFUSE: 1.0}))
    await store.open()
    async with store.wakeups():
        pass
    assert store.sibling() is store  # as the memory store's
    await store.close()
    assert told == []


def test_every_call_is_an_operation_of_a_store() -> None:
    assert all(callable(getattr(Store, name)) for name in CALLS)


def test_a_plan_travels_as_text() -> None:
    plan = FaultPlan(rates={Fault.DELAY: 0.5}, points=(Point("settle", Fault.DIE_AFTER, 7),), seed=3)
    assert FaultPlan.decode(plan.encode()) == plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"points": [{"call": "steal", "fault": "refuse"}]}', "steal: no such call. Known: enqueue, claim"),
        ('{"rates": {"refuse": 0.6, "forget": 0.6}}', "together at most 1"),
        ('{"rates": {"refuse": -0.1}}', "must not be negative"),
        ('{"rates": {"explode": 0.1}}', "explode"),
        ('{"rate": {}}', "rate"),
    ],
)
def test_a_wrong_plan_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FaultPlan.decode(text)


async def test_faults_are_injected_before_an_app_is_opened() -> None:
    app = App("memory://")
    inject(app, FaultPlan(points=(Point("queues", Fault.REFUSE),)))
    async with app:
        with pytest.raises(StoreUnavailable):
            await app.queues.list()
        assert await app.queues.list() == []
        with pytest.raises(RuntimeError, match="Inject faults before it is opened"):
            inject(app, FaultPlan())
