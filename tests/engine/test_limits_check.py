"""What `app.check()` says of the limits of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tidewheel import App, Limit, Rate


@dataclass
class Item:
    id: int


class Order(msgspec.Struct):
    customer: str
    note: str | None = None

    @property
    def region(self) -> str:
        return "eu"


@pytest.mark.parametrize(
    ("path", "doubt"),
    [
        ("args.order.customer", ""),
        ("args.order.region", ""),
        ("args.orders[0].customer", ""),
        ("args.pair[1]", ""),
        ("args.labels.team", ""),
        ("args.anything.at.all", ""),
        ("args.items[0].id", "args.items may be None"),
        ("args.order.note", "args.order.note may be None"),
        ("args.order.custumer", "args.order has no 'custumer'"),
        ("args.orders.customer", "args.orders has no 'customer'"),
        ("args.name[0]", "args.name has no 0"),
        ("args.pair[2]", "args.pair has no 2"),
        ("args.order", "args.order is an object or a list"),
        ("args.orders", "args.orders is an object or a list"),
    ],
)
def test_a_path_that_may_find_nothing_is_a_warning(app: App, path: str, doubt: str) -> None:
    @app.task(concurrency=Limit(1, key=path, name="api"))
    async def handler(
        *,
        order: Order,
        orders: list[Order],
        pair: tuple[int, int],
        labels: dict[str, str],
        anything: Any,
        name: str,
        items: list[Item] | None = None,
    ) -> None: ...

    told = [one for one in app.check() if one.where == "task handler"]
    if not doubt:
        assert told == []
    else:
        (problem,) = told
        assert problem.level == "warning"
        assert f"limit api: key='{path}': {doubt}" in problem.message


def test_a_cost_that_may_be_none_is_a_warning(app: App) -> None:
    @app.task(rate=Rate(9, per=1, cost="args.pages"))
    async def convert(pages: int | None = None) -> None: ...

    (problem,) = [one for one in app.check() if one.where == "task convert"]
    assert "limit convert.rate: cost='args.pages': args.pages may be None" in problem.message
    assert problem.remedy.startswith("Make the path lead to")
