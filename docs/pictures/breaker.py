"""Draws breaker.svg: calls of a service that is away for a while, and what the breaker lets start.

What starts is worked out by the functions that the stores use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drawing import box, picture, save, text

from tidewheel._limits import Breaker
from tidewheel._model.duration import SECOND
from tidewheel._model.gate import Gate, failed, freed, room, succeeded, taken

WIDE, HIGH = 1120, 372
LEFT, RIGHT, TOP = 150, 1080, 96
SECONDS = 26
AWAY = range(4, 17)
RULE = Breaker(3, within="1m", open_for="5s").rule
AT_ONCE = 4
"""Slots of the worker."""


class Call(NamedTuple):
    """A start, and whether the service answered."""

    at: int
    number: int
    fine: bool


def calls() -> tuple[list[Call], list[int]]:
    """The starts, when one job comes each second and who fails comes again; and how many are parked in each second."""
    gate, waiting = Gate(), 0
    found: list[Call] = []
    parked: list[int] = []
    for second in range(SECONDS):
        now, fine = second * SECOND, second not in AWAY
        waiting += 1
        start = min(room(RULE, gate, now).free, waiting, AT_ONCE)
        found += [Call(second, number, fine) for number in range(start)]
        if start:
            taken(RULE, gate, now, 1, holds=True, times=start)
            freed(gate, start)
        for _ in range(start):
            succeeded(gate, now) if fine else failed(RULE, gate, now)
        waiting -= start if fine else 0
        parked.append(waiting if gate.shut_until > now else 0)
    return found, parked


def x(second: float) -> float:
    """Where a moment is."""
    return LEFT + second * (RIGHT - LEFT) / SECONDS


def marks() -> Iterator[str]:
    found, parked = calls()
    width = x(1) - x(0)
    for call in found:
        colour = "green" if call.fine else "red"
        yield box(x(call.at) + 5, TOP + 64 + 22 * call.number, width - 10, 18, css=f"f-{colour}", radius=5)
    for second, number in enumerate(parked):
        if number:
            middle = x(second) + width / 2
            yield text(middle, TOP + 184, f"{number}", size=13.5, anchor="middle", weight=600, css="f-amber")


def axis(top: float, bottom: float) -> Iterator[str]:
    for second in range(0, SECONDS + 1, 2):
        yield f'<path class="grid" d="M{x(second):g} {top:g} V {bottom:g}"/>'
        yield text(x(second), bottom + 18, f"{second} s" if second else "0", size=12.5, anchor="middle", css="soft")


def draw() -> str:
    """The picture as SVG text."""
    away = (x(AWAY.start), x(AWAY.stop) - x(AWAY.start))
    return picture(
        WIDE,
        HIGH,
        "A breaker",
        "A job comes each second, and the service is away from 4 to 17. Three calls fail, then nothing starts for five seconds; "
        "one job tries, fails, and shuts the breaker for another five, and so does the next one. The first one that completes lets all "
        "start that were parked meanwhile.",
        [
            text(40, 48, 'Breaker(3, within="1m", open_for="5s")', size=17, weight=650, css="code"),
            text(40, 70, "One job comes each second.", size=13.5, css="soft"),
            box(LEFT - 6, TOP - 8, RIGHT - LEFT + 12, 212, radius=10),
            *axis(TOP - 8, TOP + 204),
            text(LEFT - 16, TOP + 24, "the service", size=14, anchor="end", weight=600),
            box(away[0], TOP + 6, away[1], 26, css="f-grey", radius=6),
            text(away[0] + away[1] / 2, TOP + 24, "is away", size=13.5, anchor="middle", weight=600, css="f-paper"),
            text(LEFT - 16, TOP + 78, "calls", size=14, anchor="end", weight=600),
            text(LEFT - 16, TOP + 184, "parked", size=14, anchor="end", weight=600),
            *marks(),
            text(40, HIGH - 26, "red: failed, and will be tried again; green: completed", size=13.5, css="soft"),
        ],
    )


if __name__ == "__main__":
    save(draw(), "breaker.svg")
