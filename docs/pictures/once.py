"""Draws once.svg: what the rules for enqueuing make of the same kind of calls in time.

Which call makes a job, changes one or makes none is worked out by the functions that the stores use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from drawing import box, path, picture, save, text

from tidewheel import Debounce, KeepLast, Throttle, Unique
from tidewheel._model.desk import Holder, KeyRow, judge
from tidewheel._model.enqueue_rule import EnqueueRule
from tidewheel._model.job import NewJob
from tidewheel._model.state import JobState
from tidewheel._rules import Idempotent

WIDE, HIGH = 1120, 730
LEFT, RIGHT, TOP, LANE = 296, 1080, 84, 98
SECONDS = 26
SECOND: Final = 1_000_000
COLOURS = {"created": "green", "replaced": "violet", "existing": "grey", "dropped": "grey"}


@dataclass
class Job:
    """One job of a lane, in seconds."""

    id: str
    enqueued: float
    due: float
    start: float = 0
    end: float = 0


@dataclass
class Lane:
    """A rule, the moments at which somebody enqueues, and what came of it."""

    code: str
    words: str
    rule: EnqueueRule
    calls: Sequence[float]
    runs: float
    wait: float = 0
    jobs: list[Job] = field(default_factory=list)
    did: list[str] = field(default_factory=list)

    def play(self) -> None:
        """Enqueue at each moment."""
        row: KeyRow | None = None
        for number, at in enumerate(self.calls):
            now = round(at * SECOND)
            new = NewJob(id=str(number), kind="", args="", delay=round(self.wait * SECOND))
            holder = next((job for job in self.jobs if row is not None and job.id == row.job_id), None)
            verdict = judge(self.rule, new, row, None if holder is None else Holder(self._state(holder, at)), now)
            row = verdict.row or row
            change = verdict.change
            if verdict.insert:
                self.jobs.append(Job(new.id, at, at + self.wait))
            elif change is not None and change.run_at is not None and holder is not None:
                holder.due = change.run_at / SECOND
            self._start()
            made = "created" if verdict.insert else "replaced" if change is not None else "existing"
            self.did.append("dropped" if verdict.dropped else made)

    def _start(self) -> None:
        free = 0.0
        for job in self.jobs:
            job.start = max(job.due, free if "keep_last" in self.code else 0)
            job.end = free = job.start + self.runs

    @staticmethod
    def _state(job: Job, at: float) -> JobState:
        if at >= job.end:
            return JobState.COMPLETED
        if at >= job.start:
            return JobState.RUNNING
        return JobState.SCHEDULED if job.due > at else JobState.PARKED


LANES = (
    Lane("unique=Unique()", "one job at a time", Unique().rule, (0, 2, 4, 9, 11, 17), 7),
    Lane(
        'idempotency_key="k"',
        "one job in 24 hours (here 12 s)",
        Idempotent("k", 12 * SECOND).rule,
        (0, 2, 6, 10, 14, 20),
        4,
    ),
    Lane(
        'throttle=Throttle(2, per="10s")',
        "two in each window",
        Throttle(2, per="10s").rule,
        (0, 2, 4, 6, 12, 13, 15, 23),
        1.6,
    ),
    Lane('debounce=Debounce("3s")', "when it is quiet", Debounce("3s").rule, (0, 2, 4, 5, 12, 18, 20), 2.5, wait=3),
    Lane(
        'Debounce("3s", max_wait="7s")',
        "7 s after the first at the latest",
        Debounce("3s", max_wait="7s").rule,
        (0, 2, 4, 6, 9, 11, 13, 15, 21),
        2.5,
        wait=3,
    ),
    Lane("keep_last=True", "one runs, the newest waits", KeepLast().rule, (0, 2, 4, 5, 9, 15, 16), 6.5),
)


def x(second: float) -> float:
    """Where a moment is."""
    return LEFT + second * (RIGHT - LEFT) / SECONDS


def lane(one: Lane, top: float) -> Iterator[str]:
    one.play()
    yield text(34, top + 34, one.code, size=13.5, weight=650, css="code")
    yield text(34, top + 54, one.words, size=13, css="soft")
    yield f'<path class="grid" d="M{LEFT} {top + LANE - 12:g} H {RIGHT}"/>'
    for job in one.jobs:
        y = top + 42
        if job.start > job.enqueued:
            yield (
                f'<rect class="s-amber" fill="none" stroke-width="1.6" stroke-dasharray="5 4" x="{x(job.enqueued):g}" '
                f'y="{y + 4:g}" width="{x(job.start) - x(job.enqueued) - 2:g}" height="20" rx="6"/>'
            )
        yield (
            f'<rect class="f-blue s-blue" fill-opacity="0.18" stroke-width="1.6" x="{x(job.start):g}" y="{y:g}" '
            f'width="{x(min(job.end, SECONDS)) - x(job.start):g}" height="28" rx="7"/>'
        )
    for at, did in zip(one.calls, one.did, strict=True):
        yield mark(x(at), top + 22, did)


def mark(at: float, y: float, did: str) -> str:
    """An enqueue: a full triangle makes a job, one with a hole changes one, a stroke makes none."""
    colour = COLOURS[did]
    if did in ("existing", "dropped"):
        return path(
            f"M{at - 5:g} {y:g} L {at + 5:g} {y + 10:g} M{at + 5:g} {y:g} L {at - 5:g} {y + 10:g}", colour=colour
        )
    d = f"M{at - 6.5:g} {y:g} L {at + 6.5:g} {y:g} L {at:g} {y + 12:g} Z"
    return f'<path class="f-{colour} s-{colour}" fill-opacity="{1 if did == "created" else 0.15}" stroke-width="1.8" d="{d}"/>'


def legend(y: float) -> Iterator[str]:
    for at, did, words in (
        (LEFT, "created", "makes a job"),
        (LEFT + 112, "replaced", "changes the waiting one"),
        (LEFT + 300, "existing", "makes none, and hears of the one there is"),
    ):
        yield mark(at + 6, y - 10, did)
        yield text(at + 20, y, words, size=13.5, css="soft")
    yield (
        f'<rect class="s-amber" fill="none" stroke-width="1.6" stroke-dasharray="5 4" x="{LEFT + 626}" y="{y - 12:g}" '
        'width="26" height="15" rx="5"/>'
    )
    yield text(LEFT + 658, y, "waits", size=13.5, css="soft")
    yield (
        f'<rect class="f-blue s-blue" fill-opacity="0.18" stroke-width="1.6" x="{LEFT + 706}" y="{y - 12:g}" width="26" '
        'height="15" rx="5"/>'
    )
    yield text(LEFT + 738, y, "runs", size=13.5, css="soft")


def axis(y: float) -> Iterator[str]:
    for second in range(0, SECONDS + 1, 2):
        yield f'<path class="grid" d="M{x(second):g} {TOP:g} V {y:g}"/>'
        yield text(x(second), y + 18, f"{second} s" if second else "0", size=12.5, anchor="middle", css="soft")


def draw() -> str:
    """The picture as SVG text."""
    bottom = TOP + LANE * len(LANES)
    for one in LANES:
        one.jobs.clear()
        one.did.clear()
    rows = [line for number, one in enumerate(LANES) for line in lane(one, TOP + LANE * number)]
    said = "; ".join(
        f"{one.code}: enqueued at {', '.join(f'{at:g}' for at in one.calls)}, {', '.join(one.did)}" for one in LANES
    )
    return picture(
        WIDE,
        HIGH,
        "Rules for enqueuing, in time",
        f"Seconds from left to right. {said}.",
        [
            text(34, 48, "What six rules make of a row of calls", size=18, weight=650),
            text(RIGHT, 48, "all of one key", size=14, anchor="end", css="soft"),
            box(LEFT - 8, TOP - 6, RIGHT - LEFT + 16, bottom - TOP + 6, radius=10),
            *axis(bottom),
            *rows,
            *legend(bottom + 46),
        ],
    )


if __name__ == "__main__":
    save(draw(), "once.svg")
