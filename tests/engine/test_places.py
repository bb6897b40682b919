"""Turns and ageing in code: what a job carries, and what cannot work is said where it stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidewheel import App, ConfigError, Fair, LimitKeyError, PreparedJob
from tidewheel._model.duration import SECOND
from tidewheel._model.job import DEFAULT_PRIORITY, NewJob
from tidewheel._places import UNIT

MINUTE = 60 * SECOND


async def send(tenant: Any, pages: int = 1) -> None: ...


def new(*args: Any, **options: Any) -> NewJob:
    prepared: PreparedJob[None] = App("memory://").task(name="send", **options)(send).job(*args)
    return prepared.new


def step(*args: Any, **options: Any) -> int:
    job = new(*args, fair=Fair("args.tenant", **options))
    assert job.fair is not None
    return job.fair.step


def key(tenant: object, name: str | None = None) -> str:
    job = new(tenant, fair=Fair("args.tenant", name=name))
    assert job.fair is not None
    return job.fair.key


def test_each_tenant_has_turns_of_its_own_in_each_task_or_name() -> None:
    assert len({key("a"), key("b"), key("a", "other"), key("7")}) == 4
    assert key("a", "send") == key("a")
    assert key(7) == key("7")


def test_a_turn_is_the_longer_the_more_it_costs_and_the_less_its_tenant_weighs() -> None:
    assert step("a") == UNIT
    assert step("a", weights={"a": 4, "b": 2}) == UNIT // 4
    assert step("c", weights={"a": 4, "b": 2}) == UNIT
    assert step("a", cost=3) == 3 * UNIT
    assert step("a", 5, cost="args.pages") == 5 * UNIT
    assert step("a", 5, cost=lambda pages: pages * 2, weights={"a": 0.5}) == 20 * UNIT
    assert step("a", weights={"a": 1000}) == 1


@pytest.mark.parametrize("tenant", [None, "", ["a"]])
def test_a_job_of_nobody_is_not_enqueued(tenant: Any) -> None:
    with pytest.raises(LimitKeyError, match=r"send: the key of Fair, args\.tenant, found .* It was not enqueued"):
        key(tenant)


@pytest.mark.parametrize("pages", [0, -1, True, "3", 1.5, 1_000_001])
def test_a_cost_is_a_whole_number(pages: Any) -> None:
    with pytest.raises(LimitKeyError, match=r"the cost of Fair, .*<lambda>, found .*; a cost is a whole number"):
        step("a", cost=lambda: pages)


def test_what_cannot_work_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        Fair("tenant", weights={"a": 0, "b": True}, cost=0, name="a:b")
    assert len(told.value.problems) == 5
    with pytest.raises(ConfigError, match="must say how much each tenant counts"):
        Fair("args.tenant", weights=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"cost=2000000 is out of range\. Give 1 to 1,000,000"):
        Fair("args.tenant", cost=2_000_000)
    with pytest.raises(ConfigError) as told:
        App("memory://").task(fair=Fair("args.account", cost="args.size"))(send)
    assert [problem.partition(": '")[0] for problem in told.value.problems] == ["send: fair: key", "send: fair: cost"]


def test_each_step_of_priority_is_worth_a_wait() -> None:
    first, last = new("a", ageing="1m", priority=1), new("a", ageing="1m", priority=1000)
    assert (first.priority, last.priority) == (DEFAULT_PRIORITY, DEFAULT_PRIORITY)
    assert (first.lead, last.lead) == (999 * MINUTE, 0)
    assert new("a", priority=7).lead == 0


def test_a_single_job_may_have_another_priority() -> None:
    task = App("memory://").task(name="send", ageing="1m")(send)
    assert task.options(priority=99).job("a").new.lead - task.job("a").new.lead == MINUTE
    assert task.options(lifo=True).job("a").new.lead == 0, "the newest first is no matter of waiting"


def test_turns_and_ageing_are_two_orders() -> None:
    with pytest.raises(ConfigError, match="fair and ageing both say where a job stands in line"):
        new("a", fair=Fair("args.tenant"), ageing="1m")
    with pytest.raises(ConfigError, match="ageing: 0 is no time at all"):
        new("a", ageing=0)
    with pytest.raises(ConfigError, match=r"ageing: '200w' is too long\. Give at most 73d4h"):
        new("a", ageing="200w")
    assert new("a", ageing="10w", priority=1).lead == 999 * 7 * 10 * 24 * 60 * MINUTE


async def test_who_waits_long_enough_overtakes_a_higher_priority() -> None:
    done: list[str] = []
    app = App("memory://")

    @app.task(ageing="1s", priority=100)
    async def note(name: str) -> None:
        done.append(name)

    async with app:
        early = datetime.now(UTC) - timedelta(seconds=5)
        await note.options(priority=98).enqueue("two seconds ahead")
        await note.options(run_at=early).enqueue("waits for five")
        await note.enqueue("last")
        await app.worker(concurrency=1, drain_and_exit=True).run()
    assert done == ["waits for five", "two seconds ahead", "last"]


async def test_a_large_tenant_does_not_keep_a_small_one_waiting() -> None:
    done: list[str] = []
    app = App("memory://")

    @app.task(fair=Fair("args.tenant", weights={"large": 2}))
    async def note(tenant: str) -> None:
        done.append(tenant)

    async with app:
        await app.enqueue_many([note.job("large") for _ in range(100)])
        await app.enqueue_many([note.job("small") for _ in range(5)])
        await app.worker(concurrency=1, drain_and_exit=True).run()
    assert done[:16].count("small") == 5
