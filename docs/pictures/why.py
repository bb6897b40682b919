"""Draws why.svg: one job in time, and what `why` answers at each moment of its life."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drawing import box, path, picture, save, text

WIDE, HIGH = 1120, 356
LEFT, RIGHT = 50, 1070
SECONDS = 26
TOP, TALL = 116, 62


class Part(NamedTuple):
    """A stretch of the job's life: the code of the answer, the rest of it, and what takes the reason away."""

    start: float
    end: float
    code: str
    more: str
    taken_away: str = ""
    colour: str = "amber"


LIFE = (
    Part(0, 4, "due", "until 12:00:04", "its time comes"),
    Part(4, 8, "behind", "3 jobs before it", "they start"),
    Part(8, 13, "limit_full", "by 019ab2..., 1 of 1", "that one ends"),
    Part(13, 16, "running", "lease 12:00:43", "it fails", "blue"),
    Part(16, 20, "retry", "TimeoutError", "its time comes"),
    Part(20, 23, "no_worker", "on this queue", "one starts"),
    Part(23, 26, "running", "lease 12:00:53", "", "blue"),
)


def x(second: float) -> float:
    """Where a moment is."""
    return LEFT + second * (RIGHT - LEFT) / SECONDS


def stretch(part: Part) -> Iterator[str]:
    """One answer, as long as it holds, and its end."""
    middle = (x(part.start) + x(part.end)) / 2
    yield (
        f'<rect class="f-{part.colour} s-{part.colour}" fill-opacity="0.16" stroke-width="1.6" x="{x(part.start) + 3:g}" '
        f'y="{TOP}" width="{x(part.end) - x(part.start) - 6:g}" height="{TALL}" rx="8"/>'
    )
    yield text(middle, TOP + 27, part.code, size=15, anchor="middle", weight=650, css=f"code f-{part.colour}")
    yield text(middle, TOP + 48, part.more, size=12.5, anchor="middle", css="soft")
    if part.taken_away:
        yield path(f"M{x(part.end):g} {TOP + 138} V {TOP + TALL + 12}", colour="sweep", head=True, width=1.8)
        yield text(x(part.end), TOP + 158, part.taken_away, size=13.5, anchor="middle", css="f-sweep")


def axis() -> Iterator[str]:
    """The seconds, under the job."""
    bottom = TOP + 180
    for second in range(0, SECONDS + 1, 2):
        yield f'<path class="grid" d="M{x(second):g} {bottom:g} v 8"/>'
        yield text(
            x(second), bottom + 26, f"{second} s" if second else "enqueued", size=12.5, anchor="middle", css="soft"
        )


def draw() -> str:
    """The picture as SVG text."""
    return picture(
        WIDE,
        HIGH,
        "What why answers in the life of a job",
        "A job is enqueued with a delay of 4 seconds. Until then the answer is due; then behind, while three jobs before it "
        "have not started; from 8 limit_full, with the id of the job that has the slot; from 13 it is running and fails; from "
        "16 retry, with the error; at 20 its time has come, but the answer is no_worker until one starts at 23.",
        [
            text(LEFT, 48, "await job.why()", size=17, weight=650, css="code"),
            text(LEFT, 76, "one answer at each moment, and what takes it away", size=14, css="soft"),
            box(LEFT - 10, TOP - 14, RIGHT - LEFT + 20, TALL + 28, radius=12),
            *(line for part in LIFE for line in stretch(part)),
            *axis(),
        ],
    )


if __name__ == "__main__":
    save(draw(), "why.svg")
