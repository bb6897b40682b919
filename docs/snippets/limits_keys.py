"""Where the key of a job comes from, and what happens when there is none."""

from dataclasses import dataclass

from tidewheel import App, Limit, LimitKeyError

app = App("memory://")


@dataclass
class Order:
    customer: str
    lines: list[int]


@app.task(
    concurrency=[
        Limit(1, key="args.order.customer"),  # fields, keys of dicts and places of lists: args.order.lines[0]
        Limit(9, key=lambda order: "big" if len(order.lines) > 100 else "small", name="ship.by_size"),
    ]
)
async def ship(order: Order) -> None: ...


try:
    ship.job(Order(customer="", lines=[]))
except LimitKeyError as error:  # a ValueError, in the hands of the caller: nothing was enqueued
    assert "limit 'ship.concurrency.order.customer', args.order.customer, found ''" in str(error)
else:
    raise AssertionError
