"""`app.limits` and limits at work: what operators see and change, and what workers make of it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.engine._kit import Ears, row, run_all, running, until

from tidewheel import App, ConfigError, Limit, LimitNotFound, LimitRow, Rate, Retry, RetryPolicy, Rule


@pytest.fixture
def task(app: App) -> Any:
    @app.task(
        concurrency=[Limit(2, key="args.tenant", name="tenant"), Limit(5, name="api")],
        rate=[Rate(100, per="1m", name="vendor"), Rate(9, per=1, algorithm="bucket", burst=3, name="drip")],
    )
    async def send(tenant: str) -> None: ...

    return send


# --- looking ---


async def test_limits_are_listed_as_declared(app: App, task: Any) -> None:
    before = await app.limits.list()  # nothing was enqueued yet
    await task.enqueue("acme")

    assert [row.name for row in before] == ["api", "drip", "tenant", "vendor"]
    assert await app.limits.list() == before
    assert await app.limits.get("api") == LimitRow(name="api", declared=Rule(slots=5))
    assert await app.limits.get("apo") is None


async def test_a_worker_declares_the_limits_of_its_tasks(app: App, task: Any) -> None:
    assert (await app._store.limits()) == []
    await run_all(app)
    assert len(await app._store.limits()) == 4


async def test_gates_show_what_runs_and_what_waits(app: App) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    @app.task(concurrency=Limit(1, key="args.tenant"))
    async def send(tenant: str) -> None:
        inside.set()
        await leave.wait()

    name = "send.concurrency.tenant"
    jobs = [await send.enqueue(tenant) for tenant in ("acme", "acme", "bobs")]
    assert await app.limits.gates(name) == []
    async with running(app):
        await inside.wait()
        await until(lambda: app.limits.gates(name, key="bobs"))
        acme, bobs = await app.limits.gates(name)
        assert (acme.key, acme.used, acme.waiting, acme.room) == (f"{name}:acme", 1, True, 0)
        assert (bobs.key, bobs.used, bobs.waiting) == (f"{name}:bobs", 1, False)
        assert len(await app.limits.gates(name, limit=1)) == 1
        assert (await row(app, jobs[1].id)).parked_by == f"{name}:acme"
        leave.set()
        await asyncio.gather(*(job.result("10s") for job in jobs))


async def test_a_flow_that_cannot_be_read_shows_no_gates(app: App, task: Any) -> None:
    job = await row(app, (await task.enqueue("acme")).id)
    assert [one.key for one in job.passes] == ["tenant:acme", "api", "vendor", "drip"]
    assert msgspec.structs.replace(job, flow="[[[5]]]").passes == ()


# --- changing ---


async def test_an_operators_numbers_go_before_the_codes(app: App, task: Any) -> None:
    assert await app.limits.set("api", slots=3) == LimitRow(name="api", declared=Rule(slots=5), operator=Rule(slots=3))
    await task.enqueue("acme")

    found = await app.limits.get("api")
    assert found is not None
    assert (found.declared, found.rule) == (Rule(slots=5), Rule(slots=3))
    await app.limits.set("drip", count=4)
    await app.limits.set("drip", per="2s", burst=1)  # what is not given stays
    found = await app.limits.get("drip")
    assert found is not None
    assert found.rule == Rule(count=4, per=2_000_000, algorithm="bucket", burst=1)

    assert await app.limits.clear("api") == LimitRow(name="api", declared=Rule(slots=5))
    assert await app.limits.get("api") == LimitRow(name="api", declared=Rule(slots=5))


async def test_one_key_may_be_set_apart(app: App, task: Any) -> None:
    await task.enqueue("acme")
    await app.limits.set("tenant", slots=7, key="acme")
    await app.limits.pause("tenant", key=5)

    rows = {one.name: one.operator for one in await app.limits.list() if ":" in one.name}
    assert rows == {"tenant:acme": Rule(slots=7), "tenant:5": Rule(paused=True)}
    await app.limits.clear("tenant", key="acme")
    await app.limits.resume("tenant", key=5)
    assert [one.name for one in await app.limits.list() if ":" in one.name] == []


async def test_pause_and_resume(app: App, task: Any) -> None:
    job = await task.enqueue("acme")
    assert (await app.limits.pause("api")).rule == Rule(slots=5, paused=True)
    async with running(app):
        await until(lambda: app.limits.gates("api"))
        assert (await row(app, job.id)).parked_by == "api"
        assert await app.limits.resume("api") == LimitRow(name="api", declared=Rule(slots=5))
        await job.result("10s")


async def test_one_key_of_a_paused_limit_may_go_on(app: App, task: Any) -> None:
    await app.limits.pause("tenant")
    await app.limits.resume("tenant", key="acme")
    jobs = [await task.enqueue("acme"), await task.enqueue("bobs")]
    async with running(app):
        await jobs[0].result("10s")
        assert (await row(app, jobs[1].id)).parked_by == "tenant:bobs"
        await app.limits.resume("tenant")
        await jobs[1].result("10s")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, ["nothing was given to set"]),
        ({"slots": 0}, ["slots=0 is out of range"]),
        ({"slots": "3"}, ["slots='3' is no whole number"]),
        ({"slots": 3, "count": 5}, ["so it has slots, and no count"]),
        ({"name": "vendor", "slots": 3}, ["it counts starts in a time, so it has count and per, and no slots"]),
        ({"name": "vendor", "count": 1001}, ["count=1001 is over 1000"]),
        ({"name": "vendor", "count": 0, "per": 0}, ["count=0", "per=0 is no time at all"]),
        ({"name": "vendor", "burst": 5}, ["it is a sliding window; only a bucket has a burst"]),
        ({"slots": 3, "key": "acme"}, ["'api' has no keys, so key='acme' means nothing"]),
        ({"name": "tenant", "slots": 3, "key": ""}, ["key='' of the limit 'tenant': found ''"]),
        ({"name": "tenant", "slots": 3, "key": {}}, ["found an object"]),
    ],
)
async def test_numbers_that_cannot_work_are_refused(
    app: App, task: Any, given: dict[str, Any], told: list[str]
) -> None:
    name = given.pop("name", "api")
    with pytest.raises(ConfigError) as error:
        await app.limits.set(name, **given)
    assert len(error.value.problems) == len(told), error.value.problems
    for part, problem in zip(told, error.value.problems, strict=True):
        assert part in problem
    assert all(one.operator is None for one in await app.limits.list())


async def test_names_that_are_none(app: App, task: Any) -> None:
    limits = app.limits
    for ask in (
        lambda name: limits.set(name, slots=1),
        limits.clear,
        limits.pause,
        limits.resume,
        limits.gates,
        limits.hit,
    ):
        with pytest.raises(LimitNotFound, match=r"There is no limit 'vendr'\. Did you mean 'vendor'\?"):
            await ask("vendr")
    with pytest.raises(LimitNotFound, match="There is: api, drip, tenant, vendor"):
        await limits.pause("something else")
    with pytest.raises(LimitNotFound, match="give the key by itself: key='acme'"):
        await limits.pause("tenant:acme")
    with pytest.raises(LimitNotFound, match="None was declared yet"):
        await App("memory://").limits.pause("api")


# --- by hand ---


async def test_a_rate_by_hand(app: App) -> None:
    @app.task(rate=Rate(3, per="1h", key="args.user", name="api"))
    async def call(user: str) -> None: ...

    first = await app.limits.hit("api", key="ada")
    assert (first.allowed, first.remaining, first.retry_at) == (True, 2, None)
    assert first.reset_at is not None
    assert (await app.limits.hit("api", key="ada", cost=2)).remaining == 0
    refused = await app.limits.hit("api", key="ada")
    assert not refused.allowed
    assert refused.retry_at is not None
    assert (await app.limits.hit("api", key="bob")).allowed
    job = await call.enqueue("ada")  # jobs and hits take from the same
    async with running(app):
        await until(lambda: app.limits.gates("api", key="ada"))
        await until(lambda: _parked(app, job.id))


async def _parked(app: App, job_id: str) -> bool:
    return (await row(app, job_id)).parked_by is not None


def test_a_rate_by_hand_from_sync_code(app: App) -> None:
    app.task(rate=Rate(1, per="1h", name="api"))(print_nothing)

    assert [app.run_sync(app.limits.hit("api")).allowed for _ in range(2)] == [True, False]
    app.run_sync(app.close())


def print_nothing() -> None: ...


def print_user(user: str) -> None: ...


async def test_hits_that_cannot_be(app: App, task: Any) -> None:
    with pytest.raises(ConfigError, match=r"'api' is held, not taken from: app\.limits\.slot"):
        await app.limits.hit("api")
    with pytest.raises(ConfigError, match="cost=0 is out of range"):
        await app.limits.hit("vendor", cost=0)
    with pytest.raises(ConfigError, match="cost=4 never fits: 'drip' has 3 at most"):
        await app.limits.hit("drip", cost=4)
    await app.limits.set("drip", burst=4)
    assert (await app.limits.hit("drip", cost=4)).allowed
    app.task(rate=Rate(1, per="1h", key="args.user", name="searches"))(print_user)
    with pytest.raises(ConfigError, match=r"'searches' has keys\. Say whose it is: key="):
        await app.limits.hit("searches")


# --- at work ---


async def test_a_limit_holds(app: App) -> None:
    at_once: dict[str, int] = {}
    most: dict[str, int] = {}

    @app.task(concurrency=[Limit(2, key="args.tenant"), Limit(3, name="api")])
    async def send(tenant: str) -> None:
        for key in (tenant, "api"):
            at_once[key] = at_once.get(key, 0) + 1
            most[key] = max(most.get(key, 0), at_once[key])
        await asyncio.sleep(0)
        for key in (tenant, "api"):
            at_once[key] -= 1

    await app.enqueue_many(send.job(tenant) for tenant in ("acme", "bobs") for _ in range(20))
    assert await run_all(app) == "drained"
    assert most == {"acme": 2, "bobs": 2, "api": 3}
    assert all(gate.used == 0 for gate in await app.limits.gates("api"))


async def test_a_handler_holds_its_key_for_all(app: App) -> None:
    started = []

    @app.task(rate=Rate(100, per=1, key="args.tenant", name="vendor"), retry=RetryPolicy(2))
    def send(tenant: str, n: int) -> None:
        started.append((tenant, n))
        if len(started) == 1:
            raise Retry("429", after="1h", hold="vendor")

    first = await send.enqueue("acme", 1)
    ears = Ears(app, "job.failed")
    async with running(app):
        await ears.next("job.failed")
        await until(lambda: app.limits.gates("vendor"))
        others = [await send.enqueue("acme", 2), await send.enqueue("bobs", 3)]
        await others[1].result("10s")
        await until(lambda: _parked(app, others[0].id))
    assert started == [("acme", 1), ("bobs", 3)]
    (gate,) = await app.limits.gates("vendor", key="acme")
    assert gate.opens_at is not None
    assert gate.opens_at >= (await row(app, first.id)).run_at - 1_000_000
