"""Draws sharing.svg: which queue's job each free slot takes, evenly, by weight and in strict order.

Who is next is worked out by the class that the workers use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from drawing import box, picture, save, text

from tidewheel._engine.shares import Shares

WIDE, HIGH = 1120, 430
LEFT, TOP, LANE, WIDTH = 40, 116, 96, 42
QUEUES = ("high", "low")
JOBS = {"high": 14, "low": 10}
COLOURS = {"high": "blue", "low": "orange"}


class Way(NamedTuple):
    """How a worker is told to share."""

    code: str
    weights: tuple[int, ...] = ()
    strict: bool = False


WAYS = (
    Way('worker(queues=["high", "low"])'),
    Way('worker(queues={"high": 5, "low": 1})', (5, 1)),
    Way('worker(queues=["high", "low"], order="strict")', strict=True),
)


def starts(way: Way) -> list[str]:
    """The queues of the jobs in the order in which they start, when slots come free one by one."""
    shares = Shares(Random(4), QUEUES, way.weights, strict=way.strict)
    left = Counter(JOBS)
    found: list[str] = []
    while left.total():
        lines = ([queue for queue in line if left[queue]] for line in shares.lines)
        (want,) = shares.deal(1, next(line for line in lines if line))
        left[want.queue] -= 1
        found.append(want.queue)
    return found


def lane(number: int, way: Way) -> Iterator[str]:
    top = TOP + number * LANE
    yield text(LEFT, top - 10, way.code, size=15, weight=600, css="code")
    for place, queue in enumerate(starts(way)):
        left = LEFT + place * (WIDTH + 1.5)
        yield box(left, top, WIDTH, 40, css=f"f-{COLOURS[queue]}", radius=6)
        yield text(left + WIDTH / 2, top + 25, queue, size=12.5, anchor="middle", weight=600, css="f-paper")


def draw() -> str:
    """The picture as SVG text."""
    return picture(
        WIDE,
        HIGH,
        "Queues that share the slots of a worker",
        "Fourteen jobs of the queue high and ten of low, in the order in which they start. Evenly about every second one is of low until high is "
        "left alone. By five to one a job of low starts after about five of high. In strict order none of low starts before high is "
        "empty.",
        [
            text(
                LEFT,
                48,
                "Fourteen jobs of one queue and ten of another, first to start on the left",
                size=17,
                weight=650,
            ),
            text(LEFT, 70, "Each takes the next free slot of the worker.", size=13.5, css="soft"),
            *(part for number, way in enumerate(WAYS) for part in lane(number, way)),
            text(LEFT, HIGH - 26, "What one queue has no work for goes to the other at once.", size=13.5, css="soft"),
        ],
    )


if __name__ == "__main__":
    save(draw(), "sharing.svg")
