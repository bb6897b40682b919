"""Limits with an order in code: what cannot work is refused where it stands; what a job carries; and that it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tidewheel import App, ConfigError, Fair, Limit, Rate, RetryPolicy, fixed
from tidewheel._model.flow import Pass, flow_of
from tidewheel._model.limit import Rule


async def send(tenant: str, page: int = 1) -> None: ...


def problems(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as told:
        call()
    return "\n".join(told.value.problems)


@pytest.fixture
def app() -> App:
    return App("memory://")


def test_the_pass_with_the_order_comes_first_and_takes_no_slot(app: App) -> None:
    task = app.task(concurrency=[Limit(3, name="api"), Limit(1, key="args.tenant", order="block", name="line")])(send)
    flow = flow_of(task.job("acme").new.flow or "")
    assert flow.passes == (Pass("line", "acme", holds=False, order="block"), Pass("api"))
    assert app.declarations.limits["line"].rule == Rule(slots=1)


def test_without_a_key_all_jobs_of_the_task_stand_in_one_line(app: App) -> None:
    task = app.task(concurrency=Limit(1, order="skip"))(send)
    assert flow_of(task.job("acme").new.flow or "").passes == (Pass("send.concurrency", holds=False, order="skip"),)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Limit(2, order="block"), "order='block' means one job after the other: give slots=1, not 2."),
        (lambda: Limit(1, order="fifo"), """order='fifo' must be "block" or "skip", or be left out."""),  # type: ignore[arg-type]
    ],
)
def test_an_order_that_cannot_work_is_refused(make: Callable[[], object], told: str) -> None:
    assert told in problems(make)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"concurrency": [Limit(1, order="skip", name="a"), Limit(1, key="args.tenant", order="block", name="b")]},
            "'b' and 'a' both have an order. Keep the one you mean.",
        ),
        (
            {"concurrency": Limit(1, order="skip"), "fair": Fair("args.tenant")},
            "fair moves jobs in line, and the limit 'send.concurrency' keeps their order. Keep one.",
        ),
        ({"concurrency": Limit(1, name="other", order="skip")}, "another task uses it, too. Give each task a limit"),
    ],
)
def test_a_task_whose_order_cannot_work_is_refused(app: App, options: dict[str, Any], told: str) -> None:
    app.task(name="first", concurrency=Limit(1, name="other", order="skip"))(send)
    assert told in problems(lambda: app.task(**options)(send))


@pytest.mark.parametrize(("option", "value"), [("queue", "other"), ("priority", 5), ("lifo", True)])
def test_a_job_that_would_leave_the_line_is_refused(app: App, option: str, value: Any) -> None:
    task = app.task(concurrency=[Limit(1, order="block"), Limit(4, name="api")], rate=Rate(9, per="1s"))(send)
    told = problems(lambda: task.options(**{option: value}))
    assert told == (
        f"send: {option}={value!r}: its jobs start in the order of one line (the limit 'send.concurrency'), and this one would "
        "stand elsewhere. Leave it out."
    )
    task.options(**{option: getattr(task.settings, option)}, delay=1, tags=["fine"])


@pytest.mark.parametrize(("order", "expected"), [("block", [1, 1, 2, 3]), ("skip", [1, 2, 3, 1])])
async def test_a_worker_keeps_the_order(app: App, order: Any, expected: list[int]) -> None:
    seen: dict[str, list[int]] = {"acme": [], "bobs": []}
    running: set[str] = set()

    @app.task(concurrency=Limit(1, key="args.tenant", order=order), retry=RetryPolicy(3, fixed("50ms")))
    async def count(tenant: str, number: int) -> None:
        assert tenant not in running
        running.add(tenant)
        seen[tenant].append(number)
        await asyncio.sleep(0)
        running.remove(tenant)
        if seen[tenant] == [1]:
            raise ValueError("not yet")

    async with app:
        await app.enqueue_many(count.job(tenant, number) for number in (1, 2, 3) for tenant in seen)
        await app.worker(drain_and_exit=True, poll="10ms").run()
    assert seen == {"acme": expected, "bobs": expected}


async def test_its_one_slot_stands_in_the_code(app: App) -> None:
    app.task(concurrency=Limit(1, order="block", name="line"))(send)
    with pytest.raises(ConfigError, match="line: it has an order, one job after the other"):
        await app.limits.set("line", slots=3)
