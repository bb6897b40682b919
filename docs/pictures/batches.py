"""Draws batches.svg: how jobs are collected into batches in time, when a batch begins, and how each job ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from drawing import box, path, picture, save, text

WIDE, HIGH = 1120, 478
LEFT, RIGHT = 150, 1080
SECONDS = 8
ROW = 150


class Group(NamedTuple):
    """A batch: when its jobs came, when it began and ended, and why it began. Seconds."""

    row: int
    jobs: tuple[float, ...]
    begins: float
    ends: float
    why: str
    failed: int | None = None
    """The place of the job that failed."""


GROUPS = (
    Group(0, (0.2, 0.45, 0.7, 1.0), 1.1, 2.3, "full", failed=2),
    Group(0, (2.6, 3.1, 3.6), 4.6, 5.8, "2 s since its first"),
    Group(1, (0.8, 1.9), 2.8, 3.9, "2 s since its first"),
)
RETRIED = 3.6
CANCELLED = (5.0, 5.7)
HANDED_BACK = (6.1, 6.5)
STOP = 7.2


def x(second: float) -> float:
    """Where a moment is."""
    return LEFT + second * (RIGHT - LEFT) / SECONDS


def y(row: int) -> float:
    """The line of a tenant."""
    return 160 + ROW * row


def axis() -> Iterator[str]:
    for second in range(SECONDS + 1):
        yield f'<path class="grid" d="M{x(second):g} 84 V 374"/>'
        yield text(x(second), 394, f"{second} s" if second else "0", size=12.5, anchor="middle", css="soft")
    for row, name in enumerate(("acme", "bobs")):
        yield text(LEFT - 22, y(row) + 5, name, size=15, anchor="end", weight=600, css="code")


def dot(second: float, row: int, colour: str, *, hollow: bool = False) -> str:
    fill = "paper" if hollow else f"f-{colour}"
    return f'<circle class="{fill} s-{colour}" stroke-width="2" cx="{x(second):g}" cy="{y(row):g}" r="7"/>'


def collected(first: float, last: float, row: int) -> str:
    return (
        f'<rect class="s-amber" fill="none" stroke-width="1.6" stroke-dasharray="5 4" x="{x(first) - 13:g}" '
        f'y="{y(row) - 18:g}" width="{x(last) - x(first) + 13:g}" height="36" rx="12"/>'
    )


def group(one: Group) -> Iterator[str]:
    top = y(one.row)
    yield collected(one.jobs[0], one.begins, one.row)
    for second in one.jobs:
        yield dot(second, one.row, "blue", hollow=second == RETRIED)
    yield (
        f'<rect class="f-green s-green" fill-opacity="0.16" stroke-width="1.6" x="{x(one.begins):g}" y="{top - 24:g}" '
        f'width="{x(one.ends) - x(one.begins):g}" height="48" rx="10"/>'
    )
    middle = (x(one.begins) + x(one.ends)) / 2
    yield text(middle, top + 5, f"one call, {len(one.jobs)} jobs", size=13, anchor="middle", css="f-green")
    yield text(x(one.begins), top - 34, one.why, size=13, anchor="middle", css="f-amber")
    for place in range(len(one.jobs)):
        colour, sign = ("red", "✕") if place == one.failed else ("green", "✓")
        yield text(
            middle + 20 * (place - (len(one.jobs) - 1) / 2), top + 42, sign, size=14, anchor="middle", css=f"f-{colour}"
        )


def retried() -> str:
    """From the failed job of the first batch to its place in the next one."""
    start, line = x(1.79), y(0)
    return path(
        f"M{start:g} {line + 50:g} C {start + 30:g} {line + 78:g} {x(RETRIED) - 40:g} {line + 78:g} {x(RETRIED):g} "
        f"{line + 12:g}",
        colour="sweep",
        head=True,
        width=1.8,
    )


def leaves() -> Iterator[str]:
    came, left = CANCELLED
    yield collected(came, left, 1)
    yield dot(came, 1, "blue")
    yield path(f"M{x(left):g} {y(1):g} V {y(1) + 34:g}", colour="person", head=True, width=1.8)
    yield text(x(left) - 8, y(1) + 52, "cancelled: it leaves", size=13, anchor="middle", css="f-person")
    yield collected(HANDED_BACK[0], STOP, 1)
    for second in HANDED_BACK:
        yield dot(second, 1, "blue")
    yield path(f"M{x(STOP):g} 84 V 374", colour="worker", dash="6 4", width=1.8)
    yield text(x(STOP), 74, "the worker stops", size=13, anchor="middle", css="f-worker")
    yield text(x(STOP) + 12, y(1) - 2, "handed back,", size=13, css="f-worker")
    yield text(x(STOP) + 12, y(1) + 15, "not run", size=13, css="f-worker")


def draw() -> str:
    """The picture as SVG text."""
    return picture(
        WIDE,
        HIGH,
        "Batches in time",
        "Jobs of two tenants are collected into batches of four for at most two seconds. The first four of acme fill a batch, "
        "which begins at once; one of its jobs fails and is retried in the next batch with two that came meanwhile, which "
        "begins two seconds after its first job. Two jobs of bobs begin when their time is over. A job that is cancelled while "
        "it is collected leaves. What is collected when the worker stops is handed back.",
        [
            text(40, 44, 'batch=Batch(4, wait="2s", key="args.rows.tenant")', size=17, weight=650, css="code"),
            box(LEFT - 10, 84, RIGHT - LEFT + 24, 290, radius=10),
            *axis(),
            *(part for one in GROUPS for part in group(one)),
            retried(),
            text(x(2.66), y(0) + 90, "fails alone, is retried with others", size=13, anchor="middle", css="f-sweep"),
            *leaves(),
            text(40, 438, "● a job, claimed and under its lease", size=13.5, css="f-blue"),
            text(330, 438, "- - collected", size=13.5, css="f-amber"),
            text(460, 438, "▬ a call of the handler: one slot of the worker", size=13.5, css="f-green"),
            text(790, 438, "✓ completed   ✕ failed: each job by itself", size=13.5, css="soft"),
        ],
    )


if __name__ == "__main__":
    save(draw(), "batches.svg")
