"""Limits in code: what cannot work is said where it stands, and each job carries the gates it must pass."""

from __future__ import annotations

import enum
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from tests.engine._kit import FaultyStore, faulty_app

from tidewheel import App, ConfigError, Limit, LimitKeyError, Rate
from tidewheel._limits import MOST
from tidewheel._model.flow import flow_of
from tidewheel._model.limit import LimitRow, Rule
from tidewheel._prepared import PreparedJob
from tidewheel._task import Task


@dataclass
class Item:
    id: int
    tags: dict[str, str] | None = None


class Plan(enum.Enum):
    FREE = "free"


async def send(tenant: Any, pages: Any = 1, *, items: list[Item] | None = None) -> None: ...


def problems(call: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as told:
        call()
    return told.value.problems


def passes(prepared: PreparedJob[Any]) -> list[tuple[str, int, bool]]:
    """The gates of a job: key, cost, whether it takes a slot."""
    assert prepared.new.flow is not None
    return [(one.key, one.cost, one.holds) for one in flow_of(prepared.new.flow).passes]


def keyed(app: App, key: Any) -> Task[..., Any]:
    task: Task[..., Any] = app.task(name="send", concurrency=Limit(2, key=key, name="per"))(send)
    return task


# --- declaring ---


def test_a_task_without_limits_carries_none(app: App) -> None:
    task = app.task(send)

    assert task.limits == ()
    assert task.job("acme").new.flow is None


def test_a_number_is_a_limit_of_the_task(app: App) -> None:
    task = app.task(concurrency=5)(send)

    assert task.limits == (("send.concurrency", Limit(5)),)
    assert passes(task.job("acme")) == [("send.concurrency", 1, True)]


def test_names_come_from_the_task_and_the_path(app: App) -> None:
    def by_tenant(tenant: str) -> str:
        return tenant

    task = app.task(
        name="shop.send",
        concurrency=[3, Limit(1, key="args.tenant"), Limit(1, key="args.items[0].id"), Limit(1, key=by_tenant)],
        rate=[Rate(1, per=1), Rate(1, per=1, key=lambda tenant: tenant)],
    )(send)

    assert [name for name, _ in task.limits] == [
        "shop.send.concurrency",
        "shop.send.concurrency.tenant",
        "shop.send.concurrency.items[0].id",
        "shop.send.concurrency.by_tenant",
        "shop.send.rate",
        "shop.send.rate.key",
    ]


def test_what_the_store_is_told() -> None:
    assert Limit(3).rule == Rule(slots=3)
    assert Rate(10, per="1m").rule == Rule(count=10, per=60_000_000, algorithm="sliding")
    assert Rate(5000, per=1, algorithm="bucket", burst=9).rule == Rule(
        count=5000, per=1_000_000, algorithm="bucket", burst=9
    )


def test_a_limit_with_a_name_is_shared(app: App) -> None:
    api = Limit(10, name="api")
    one, other = app.task(name="one", concurrency=api)(send), app.task(name="other", concurrency=[api, 2])(send)

    assert passes(one.job("a")) == [("api", 1, True)]
    assert passes(other.job("a")) == [("api", 1, True), ("other.concurrency", 1, True)]
    # Equal ones are the same, however their time is written.
    app.task(name="third", rate=Rate(1, per="1m", name="r"))(send)
    app.task(name="fourth", rate=Rate(1, per=60, name="r"))(send)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Limit(0), ["slots=0 is out of range. Give 1 to"]),
        (lambda: Limit(True), ["slots=True is no whole number"]),
        (lambda: Limit("5"), ["slots='5' is no whole number"]),  # type: ignore[arg-type]
        (lambda: Limit(MOST + 1), ["out of range"]),
        (lambda: Limit(1, name="a:b"), ["Limit 'a:b': 'a:b' is not the name of a limit: a colon"]),
        (lambda: Limit(1, name=" "), ["no spaces at its ends"]),
        (lambda: Limit(1, name="tidewheel.paused.x"), ["with 'tidewheel.paused.' begin the pauses of tasks"]),
        (lambda: Limit(1, key="tenant"), ["'tenant' is no path over the arguments. Write one like args.tenant"]),
        (lambda: Limit(1, key="args"), ["no path"]),
        (lambda: Limit(1, key="args.a[-1]"), ["no path"]),
        (lambda: Limit(1, key="args.a..b"), ["no path"]),
        (lambda: Limit(1, key=5), ["5 is neither a path such as 'args.tenant' nor a function"]),  # type: ignore[arg-type]
        (lambda: Limit(1, key=send), ["is async. Give a plain function"]),
        (lambda: Rate(0, per=1), ["count=0 is out of range"]),
        (lambda: Rate(1, per=0), ["per=0 is no time at all"]),
        (lambda: Rate(1, per="1 fortnight"), ["per: '1 fortnight' is no duration"]),
        (lambda: Rate(1001, per=1), ["count=1001 is over 1000, the most of a sliding window. Use algorithm='bucket'"]),
        (lambda: Rate(1, per=1, algorithm="leaky"), ['algorithm=\'leaky\' must be "sliding", "bucket" or "fixed"']),  # type: ignore[arg-type]
        (lambda: Rate(1, per=1, burst=5), ["burst=5 means something for a bucket only"]),
        (lambda: Rate(1, per=1, algorithm="bucket", burst=0), ["burst=0 is out of range"]),
        (lambda: Rate(9, per=1, cost=10), ["cost=10 never fits: count is 9"]),
        (lambda: Rate(9, per=1, algorithm="bucket", burst=3, cost=4), ["cost=4 never fits: burst is 3"]),
        (lambda: Rate(9, per=1, cost=0), ["cost=0 is out of range"]),
        (lambda: Rate(9, per=1, cost="pages"), ["cost: 'pages' is no path"]),
        (
            lambda: Rate(0, per=-1, burst=0, key="x", name="a:b"),
            ["count=0", "per: The duration -1 is negative", "burst=0 is", "burst=0 means", "key: 'x' is no", "a colon"],
        ),
    ],
)
def test_a_limit_that_cannot_work_is_refused_with_all_that_is_wrong(
    make: Callable[[], object], told: list[str]
) -> None:
    said = problems(make)
    assert len(said) == len(told), said
    for part, problem in zip(told, said, strict=True):
        assert part in problem


def test_a_burst_may_be_more_than_the_count() -> None:
    assert Rate(1, per=1, algorithm="bucket", burst=20, cost=20).capacity == 20


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"concurrency": 0}, ["send: concurrency: Limit: slots=0 is out of range"]),
        ({"concurrency": Rate(1, per=1)}, ["counts starts in a time. Give it as rate="]),
        ({"rate": Limit(1)}, ["counts what runs at once. Give it as concurrency="]),
        ({"rate": "10/m"}, ["'10/m' must be a Rate(...)"]),
        ({"concurrency": [None]}, ["None must be a number or a Limit(...)"]),
        (
            {"concurrency": Limit(1, key="args.tenat")},
            ["begins with no parameter of the function. It has: tenant, pages"],
        ),
        ({"concurrency": Limit(1, key=lambda who: who)}, ["wants 'who', which is no parameter"]),
        ({"concurrency": Limit(1, key=lambda a, /: a)}, ["takes 'a' by position only"]),
        ({"rate": Rate(5, per=1, cost="args.count")}, ["rate: cost: 'args.count' begins with no parameter"]),
        ({"concurrency": [1, 2]}, ["two limits named 'send.concurrency'"]),
        ({"concurrency": Limit(1, name="x"), "rate": Rate(1, per=1, name="x")}, ["two limits named 'x'"]),
        (
            {"concurrency": 0, "rate": Rate(1, per=1, key="args.no"), "priority": 0},
            ["priority: 0 is out of range", "slots=0", "'args.no' begins with no parameter"],
        ),
    ],
)
def test_a_task_whose_limits_cannot_work_is_refused(app: App, options: dict[str, Any], told: list[str]) -> None:
    said = problems(lambda: app.task(name="send", **options)(send))
    assert len(said) == len(told), said
    for part, problem in zip(told, said, strict=True):
        assert part in problem
    assert "send" not in app.tasks
    assert not app.declarations.limits


def test_a_task_with_a_colon_has_no_limits_without_a_name(app: App) -> None:
    (said,) = problems(lambda: app.task(name="shop:send", concurrency=1)(send))
    assert "'shop:send.concurrency' is not the name of a limit: a colon" in said
    assert "Give another name=" in said
    app.task(name="shop:send", concurrency=Limit(1, name="send"))(send)


def test_two_tasks_with_different_limits_of_one_name(app: App) -> None:
    app.task(name="one", concurrency=Limit(1, name="api"))(send)

    (said,) = problems(lambda: app.task(name="two", concurrency=Limit(2, name="api"))(send))
    assert "two limits named 'api'" in said
    assert "give the same object to both" in said


# --- keys and costs ---


class Id(msgspec.Struct):
    n: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("acme", "acme"),
        (5, "5"),
        (True, "true"),
        (2.5, "2.5"),
        (Plan.FREE, "free"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ("a:b c", "a:b c"),
        ("x" * 200, "x" * 200),
        ("x" * 201, hashlib.sha256(b"x" * 201).hexdigest()),
        ("a\nb", hashlib.sha256(b"a\nb").hexdigest()),
        ("a\0b", hashlib.sha256(b"a\0b").hexdigest()),
    ],
)
def test_a_key_is_a_single_value_as_text(app: App, value: Any, text: str) -> None:
    task = keyed(app, lambda tenant: value)

    assert passes(task.job("acme")) == [(f"per:{text}", 1, True)]


def test_paths_see_the_arguments_as_the_handler_will(app: App) -> None:
    assert passes(keyed(app, "args.items[1].id").job("a", items=[Item(1), Item(2)])) == [("per:2", 1, True)]


def test_a_path_into_a_dict_and_a_default(app: App) -> None:
    async def handler(order: dict[str, Any], region: str = "eu", *more: int, **rest: str) -> None: ...

    task = app.task(
        concurrency=[
            Limit(1, key="args.order.customer.id", name="customer"),
            Limit(1, key="args.region", name="region"),
            Limit(1, key="args.more[0]", name="more"),
            Limit(1, key="args.rest.x", name="rest"),
            Limit(1, key=lambda order, **all_others: len(all_others), name="function"),
        ]
    )(handler)

    assert [key for key, _, _ in passes(task.job({"customer": {"id": 5}}, "us", 7, x="y"))] == [
        "customer:5",
        "region:us",
        "more:7",
        "rest:y",
        "function:3",
    ]


@pytest.mark.parametrize(
    ("key", "tenant", "told"),
    [
        ("args.tenant", None, "args.tenant, found None; a key is"),
        ("args.tenant", "", "found ''"),
        ("args.tenant", {"id": 1}, "found an object, {'id': 1}; a key is"),
        ("args.tenant", [1, 2], "found a list, [1, 2]"),
        ("args.tenant.id", {"name": 1}, "found nothing: args.tenant has no 'id'"),
        ("args.tenant.id", "acme", "found nothing: args.tenant is 'acme', which has no 'id'"),
        ("args.tenant[3]", [1], "found nothing: args.tenant has 1 item"),
        ("args.tenant[3]", "acme", "found nothing: args.tenant is 'acme', which has no places"),
        (lambda tenant: tenant["x"], {}, "failed with KeyError: 'x'"),
        (lambda tenant: object(), 1, "found <object object"),
        (lambda tenant: float("nan"), 1, "found nan; a key is"),
        (lambda tenant: float("-inf"), 1, "found -inf; a key is"),
    ],
)
def test_a_job_without_its_key_is_not_made(app: App, key: Any, tenant: Any, told: str) -> None:
    with pytest.raises(LimitKeyError) as error:
        keyed(app, key).job(tenant)
    assert isinstance(error.value, ValueError)
    assert str(error.value).startswith("send: the key of the limit 'per', ")
    assert told in str(error.value)
    assert str(error.value).endswith("It was not enqueued.")


def test_costs(app: App) -> None:
    task = app.task(
        rate=[
            Rate(10, per=1, name="plain"),
            Rate(10, per=1, cost=3, name="fixed"),
            Rate(10, per=1, cost="args.pages", key="args.tenant", name="path"),
            Rate(10, per=1, cost=lambda pages: pages * 2, name="function"),
        ]
    )(send)

    assert passes(task.job("acme", 4)) == [
        ("plain", 1, False),
        ("fixed", 3, False),
        ("path:acme", 4, False),
        ("function", 8, False),
    ]


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        (0, "found 0; a cost is a whole number, 1 or more"),
        (-1, "found -1"),
        (1.5, "found 1.5"),
        ("3", "found '3'"),
        (True, "found True"),
        (None, "found None"),
        (11, "found 11, which never fits: count is 10"),
    ],
)
def test_a_job_whose_cost_is_none_is_not_made(app: App, pages: Any, told: str) -> None:
    task = app.task(rate=Rate(10, per=1, cost="args.pages", name="vendor"))(send)

    with pytest.raises(LimitKeyError, match=r"send: the cost of the limit 'vendor', args\.pages, ") as error:
        task.job("acme", pages)
    assert told in str(error.value)


async def test_of_many_jobs_it_says_which(app: App) -> None:
    task = keyed(app, "args.tenant")

    with pytest.raises(LimitKeyError, match="Job 3 of the call, counted from 0: send: the key"):
        await app.enqueue_many((task.job(name) for name in ("a", "b", "c", None, "d")), batch=2)
    assert len((await app.jobs.list()).jobs) == 2  # the first batch is in


# --- the store is told ---


@pytest.fixture
async def told() -> AsyncIterator[tuple[App, list[list[LimitRow]]]]:
    """An app, and what its store was told of limits."""
    app, store = faulty_app()
    calls: list[list[LimitRow]] = []

    async def put_limits(rows: Sequence[LimitRow], *, declared: bool, now: int | None = None) -> list[LimitRow]:
        assert declared
        calls.append(list(rows))
        return await FaultyStore.put_limits(store, rows, declared=declared, now=now)

    store.put_limits = put_limits  # type: ignore[method-assign]
    yield app, calls
    await app.close()


async def test_an_app_without_limits_tells_nothing(told: tuple[App, list[list[LimitRow]]]) -> None:
    app, calls = told
    await app.task(send).enqueue("acme")
    assert calls == []


async def test_the_first_enqueue_tells_the_store_once(told: tuple[App, list[list[LimitRow]]]) -> None:
    app, calls = told
    task = app.task(concurrency=5)(send)
    await app.jobs.list()
    assert calls == []  # who looks on changes nothing

    await task.enqueue("acme")
    await app.enqueue_many([task.job("acme")])
    assert calls == [[LimitRow(name="send.concurrency", declared=Rule(slots=5))]]


async def test_a_task_that_comes_later_is_told_too(told: tuple[App, list[list[LimitRow]]]) -> None:
    app, calls = told
    await app.task(concurrency=5)(send).enqueue("acme")
    later = app.task(name="later", rate=Rate(1, per=1))(send)
    await later.enqueue("acme")

    assert [len(rows) for rows in calls] == [1, 2]
