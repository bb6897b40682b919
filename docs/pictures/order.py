"""Draws order.svg: three jobs of one key in time, where the first one fails once, with both orders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drawing import box, path, picture, save, text

WIDE, HIGH = 1120, 560
LEFT, RIGHT = 150, 1080
SECONDS = 22


class Part(NamedTuple):
    """What a job does for some seconds."""

    word: str
    start: float
    end: float


BLOCK = (
    (Part("fails", 0, 4), Part("waits, and keeps the place", 4, 10), Part("completes", 10, 13)),
    (Part("parked", 0, 13), Part("completes", 13, 17)),
    (Part("parked", 0, 17), Part("completes", 17, 21)),
)
SKIP = (
    (Part("fails", 0, 4), Part("waits for its retry", 4, 10), Part("parked", 10, 12), Part("completes", 12, 15)),
    (Part("parked", 0, 4), Part("completes", 4, 8)),
    (Part("parked", 0, 8), Part("completes", 8, 12)),
)
COLOURS = {"fails": "red", "completes": "green"}


def x(second: float) -> float:
    """Where a moment is."""
    return LEFT + second * (RIGHT - LEFT) / SECONDS


def job(parts: tuple[Part, ...], y: float) -> Iterator[str]:
    """The line of one job."""
    for part in parts:
        middle = (x(part.start) + x(part.end)) / 2
        if colour := COLOURS.get(part.word):
            yield (
                f'<rect class="f-{colour} s-{colour}" fill-opacity="0.18" stroke-width="1.6" x="{x(part.start):g}" '
                f'y="{y:g}" width="{x(part.end) - x(part.start):g}" height="30" rx="7"/>'
            )
            yield text(middle, y + 20, part.word, size=13.5, anchor="middle", css=f"f-{colour}")
            continue
        yield path(f"M{x(part.start) + 4:g} {y + 15:g} H {x(part.end) - 4:g}", colour="amber", dash="2 5", width=1.6)
        yield text(middle, y + 10, part.word, size=13, anchor="middle", css="f-amber")


def lines(jobs: tuple[tuple[Part, ...], ...], top: float) -> Iterator[str]:
    """The jobs of the key, and who lets whom in."""
    for number, parts in enumerate(jobs):
        yield text(LEFT - 16, top + 44 * number + 20, f"job {number + 1}", size=14, anchor="end", weight=600)
        yield from job(parts, top + 44 * number)


def axis(top: float, bottom: float) -> Iterator[str]:
    for second in range(0, SECONDS + 1, 2):
        yield f'<path class="grid" d="M{x(second):g} {top:g} V {bottom:g}"/>'
        yield text(x(second), bottom + 18, f"{second} s" if second else "0", size=12.5, anchor="middle", css="soft")


def draw() -> str:
    """The picture as SVG text."""
    return picture(
        WIDE,
        HIGH,
        "One after the other",
        "Three jobs of one key are enqueued at 0, and the first one fails once. With block it keeps the place while it waits for "
        "its next attempt: the second starts at 13, when the first has completed, the third at 17. With skip the second "
        "starts at 4, when the attempt of the first has ended, the third at 8, and the first again at 12.",
        [
            text(40, 48, 'Limit(1, key="args.account", order="block")', size=17, weight=650, css="code"),
            box(LEFT - 6, 66, RIGHT - LEFT + 12, 156, radius=10),
            *axis(66, 222),
            *lines(BLOCK, 84),
            text(40, 304, 'Limit(1, key="args.account", order="skip")', size=17, weight=650, css="code"),
            box(LEFT - 6, 322, RIGHT - LEFT + 12, 156, radius=10),
            *axis(322, 478),
            *lines(SKIP, 340),
            text(40, 532, "all three are jobs of one account, enqueued at 0", size=13.5, css="soft"),
        ],
    )


if __name__ == "__main__":
    save(draw(), "order.svg")
