"""Draws limits.svg: what happens in time. Jobs that wait for their tenant's slots, and starts under the three rates.

The starts are worked out by the arithmetic that the stores use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drawing import box, path, picture, save, text

from tidewheel._model.gate import Gate, room, taken
from tidewheel._model.limit import Algorithm, Rule

WIDE, HIGH = 1120, 700
LEFT, RIGHT = 196, 1080
SECONDS = 26
RATES: tuple[tuple[Algorithm, str], ...] = (
    ("sliding", "any 10 s hold 4"),
    ("bucket", "evenly after a burst"),
    ("fixed", "4 in each window"),
)


class Bar(NamedTuple):
    """One job: parked until it starts, running until it ends. Seconds."""

    name: str
    colour: str
    enqueued: float
    start: float
    end: float


BARS = (
    Bar("acme 1", "blue", 0, 0, 7),
    Bar("acme 2", "blue", 0, 0, 11),
    Bar("acme 3", "blue", 0, 7, 16),
    Bar("acme 4", "blue", 0, 11, 19),
    Bar("bobs 1", "violet", 1, 1, 9),
    Bar("acme 5", "blue", 3, 16, 24),
    Bar("bobs 2", "violet", 4, 4, 13),
)


def x(second: float) -> float:
    """Where a moment is."""
    return LEFT + second * (RIGHT - LEFT) / SECONDS


def bars(top: float) -> Iterator[str]:
    for number, bar in enumerate(BARS):
        y = top + 32 * number
        yield text(LEFT - 16, y + 17, bar.name, size=14, anchor="end", css="code")
        if bar.start > bar.enqueued:
            yield (
                f'<rect class="s-amber" fill="none" stroke-width="1.6" stroke-dasharray="5 4" x="{x(bar.enqueued):g}" '
                f'y="{y:g}" width="{x(bar.start) - x(bar.enqueued) - 2:g}" height="24" rx="7"/>'
            )
            yield text((x(bar.enqueued) + x(bar.start)) / 2, y + 17, "parked", size=13, anchor="middle", css="f-amber")
        yield (
            f'<rect class="f-{bar.colour} s-{bar.colour}" fill-opacity="0.18" stroke-width="1.6" x="{x(bar.start):g}" '
            f'y="{y:g}" width="{x(bar.end) - x(bar.start):g}" height="24" rx="7"/>'
        )
        yield text(x(bar.start) + 14, y + 17, "running", size=13, css=f"f-{bar.colour}")


def batons(top: float) -> Iterator[str]:
    """The end of a job that lets the next one in."""
    for giver, taker in ((0, 2), (1, 3), (2, 5)):
        at, first, last = BARS[giver].end, top + 32 * giver + 24, top + 32 * taker
        yield path(f"M{x(at):g} {first:g} L {x(at):g} {last - 3:g}", colour="worker", head=True, width=1.6)


def starts(algorithm: Algorithm) -> list[float]:
    """When twelve jobs start that wait from second 6 on, `count` 4 in 10 seconds."""
    rule = Rule(count=4, per=10_000_000, algorithm=algorithm)
    gate, now, found = Gate(), 6_000_000, list[float]()
    while len(found) < 12:
        answer = room(rule, gate, now)
        if answer.free:
            taken(rule, gate, now, 1, holds=False)
            found.append(now / 1_000_000)
        else:
            now = answer.at or now
    return [one for one in found if one < SECONDS]


def rates(top: float) -> Iterator[str]:
    for number, (algorithm, words) in enumerate(RATES):
        y = top + 62 * number
        yield text(LEFT - 16, y + 4, algorithm, size=14.5, anchor="end", weight=600, css="code")
        yield text(LEFT - 16, y + 22, words, size=12.5, anchor="end", css="soft")
        yield f'<path class="grid" d="M{LEFT} {y + 26:g} H {RIGHT}"/>'
        if algorithm == "fixed":
            for edge in (0, 10, 20):
                yield path(f"M{x(edge):g} {y - 28:g} V {y + 26:g}", colour="grey", dash="3 4", width=1.4)
        at_once: dict[float, int] = {}
        for second in starts(algorithm):
            place = at_once[second] = at_once.get(second, -1) + 1
            yield f'<circle class="f-green" cx="{x(second):g}" cy="{y + 20 - 12.5 * place:g}" r="5.5"/>'


def axis(y: float, top: float) -> Iterator[str]:
    for second in range(0, SECONDS + 1, 2):
        yield f'<path class="grid" d="M{x(second):g} {top:g} V {y:g}"/>'
        yield text(x(second), y + 18, f"{second} s" if second else "0", size=12.5, anchor="middle", css="soft")


def draw() -> str:
    """The picture as SVG text."""
    return picture(
        WIDE,
        HIGH,
        "Limits in time",
        "Above: with two slots for each tenant the third and fourth job of acme are parked until one of its jobs ends; each "
        "end lets one in. The jobs of bobs pass by at once. Below: twelve jobs that wait from second 6 on, under a rate of 4 in "
        "10 seconds. Sliding: four at 6 and four at 16. Bucket: four at 6, then one every 2.5 seconds. Fixed: four at 6, four "
        "at 10 and four at 20, because the windows of the clock begin there.",
        [
            text(40, 46, 'concurrency=Limit(2, key="args.tenant")', size=17, weight=650, css="code"),
            box(LEFT - 6, 66, RIGHT - LEFT + 12, 246, radius=10),
            *axis(312, 66),
            *bars(78),
            *batons(78),
            text(40, 384, 'rate=Rate(4, per="10s")', size=17, weight=650, css="code"),
            text(RIGHT, 384, "twelve jobs wait from second 6 on", size=14, anchor="end", css="soft"),
            box(LEFT - 6, 404, RIGHT - LEFT + 12, 216, radius=10),
            *axis(620, 404),
            *rates(450),
            text(40, 672, "● a start", size=13.5, css="f-green"),
            text(124, 672, "(those of one moment stand on one another)", size=13.5, css="soft"),
            text(
                RIGHT,
                672,
                "the arrows: an end gives its slot to the first that waits",
                size=13.5,
                anchor="end",
                css="soft",
            ),
        ],
    )


if __name__ == "__main__":
    save(draw(), "limits.svg")
