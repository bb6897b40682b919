"""`Batch(...)` and batch handlers as they are declared: what cannot work is refused at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tidewheel import App, Batch, BatchItem, ConfigError, Limit


class Row(msgspec.Struct):
    tenant: str


@pytest.fixture
def app() -> App:
    return App("memory://")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"size": 0}, "size=0 is out of range"),
        ({"size": 10_001}, "size=10001 is out of range"),
        ({"size": True}, "size=True is no whole number"),
        ({"size": 5, "least": 6}, "least=6 is more than size=5"),
        ({"size": 5, "least": 0}, "least=0 is out of range"),
        ({"size": 5, "wait": "2h"}, "wait='2h' is too long"),
        ({"size": 5, "wait": "soon"}, "wait: "),
        ({"size": 5, "wait": -1}, "wait: "),
        ({"size": 5, "key": "tenant"}, "is no path over the arguments"),
        ({"size": 5, "key": int}, "neither a path"),
    ],
)
def test_numbers_that_cannot_work(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Batch(**given)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Batch(0, wait="2h", least=-1, key="x")
    assert len(caught.value.problems) == 4


def test_defaults() -> None:
    batch = Batch(100)
    assert (batch.enough, batch.patience) == (100, 1.0)
    assert (Batch(100, least=1).enough, Batch(1, wait="2s").patience) == (1, 2.0)


def no_argument() -> None: ...
def two(rows: list[Row], more: int) -> None: ...
def several(*rows: Row) -> None: ...
def by_name(*, rows: list[Row]) -> None: ...
def with_default(rows: list[Row] = []) -> None: ...  # noqa: B006
def single(row: Row) -> None: ...
def counted(rows: list[Row]) -> int: ...  # type: ignore[empty-body]
def odd(rows: list[set[object]]) -> None: ...


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (no_argument, "it must take one argument, a list"),
        (two, "it must take one argument, a list"),
        (several, "it must take one argument, a list"),
        (by_name, "it must take one argument, a list"),
        (with_default, "it must take one argument, a list"),
        (single, "row is Row, and a batch handler takes a list"),
        (counted, "counted returns int. A batch handler returns a list"),
    ],
)
def test_handlers_that_take_no_batch(app: App, fn: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        app.task(batch=Batch(5))(fn)
    assert not app.tasks


def test_other_problems_are_told_beside_it(app: App) -> None:
    with pytest.raises(ConfigError) as caught:
        app.task(batch=Batch(5, key="args.row"), priority=0)(two)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match=r"'args.row' begins with no parameter of the function. It has: rows"):
        app.task(batch=Batch(5, key="args.row"))(takes_rows)
    with pytest.raises(ConfigError, match="batch=100 must be a Batch"):
        app.task(batch=100)(takes_rows)  # type: ignore[call-overload]


async def takes_rows(rows: list[Row]) -> None: ...


def test_hints_that_come_later_are_left_to_the_check(app: App) -> None:
    def later(rows: list[Later]) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    app.task(batch=Batch(5))(later)
    assert any("Later" in problem.message for problem in app.check())


@pytest.mark.parametrize(
    ("result", "one"),
    [
        (list[int], 3),
        (list[int | Exception], 3),
        (Sequence[int | BaseException], 3),
        (list[int] | None, 3),
        (list[str | int], "x"),
        (list, {"a": 1}),
        (Any, [1]),
        (None, None),
        (list[BaseException], None),
    ],
)
def test_what_one_job_gives(app: App, result: Any, one: Any) -> None:
    def fn(rows: list[int]) -> Any: ...

    fn.__annotations__["return"] = result
    codec = app.task(batch=Batch(5))(fn).codec
    assert codec.decode_result(codec.encode_result(one)) == one


BATCH_ITEMS: Any = list[BatchItem]  # type: ignore[type-arg]


@pytest.mark.parametrize(
    ("hint", "wants_items"),
    [(list[Row], False), (list[BatchItem[Row]], True), (list, False), (BATCH_ITEMS, True), (Any, False)],
)
def test_a_job_is_one_item(app: App, hint: Any, wants_items: bool) -> None:
    def fn(rows: Any) -> None: ...

    fn.__annotations__["rows"] = hint
    task = app.task(batch=Batch(5))(fn)
    prepared = task.job(Row("acme"))
    assert prepared.new.args == '{"rows":{"tenant":"acme"}}'
    assert task.codec.wants_items is wants_items
    assert task.job(rows=Row("acme")).new.args == prepared.new.args  # type: ignore[call-arg]


def test_limits_and_unique_keys_see_one_item(app: App) -> None:
    task = app.task(batch=Batch(5), concurrency=Limit(2, key="args.rows.tenant"), unique=True)(takes_rows)
    acme, bobs = task.job(Row("acme")).new, task.job(Row("bobs")).new
    assert acme.flow is not None
    assert "acme" in acme.flow
    assert acme.unique_key != bobs.unique_key
    assert app.check() == [one for one in app.check() if one.where == "store"]


def test_a_key_that_may_find_nothing_and_a_limit_smaller_than_a_batch_are_doubtful(app: App) -> None:
    app.task(name="a", batch=Batch(5, key="args.rows.town"))(takes_rows)
    app.task(name="b", batch=Batch(5), concurrency=3)(takes_rows)
    found = [(one.where, one.message) for one in app.check() if one.where != "store"]
    assert found == [
        ("task a", "batch: key='args.rows.town': args.rows has no 'town'. Such a job is refused when it is enqueued."),
        ("task b", "No batch ever has 5 jobs: no more than 3 of its jobs run at once anywhere."),
    ]
