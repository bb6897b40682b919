"""What the person at the terminal should know: counts per kind of work, and what has happened since the last look."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidewheel._demo import rows
from tidewheel._demo.problem import NO_ROOM

if TYPE_CHECKING:
    from tidewheel import Job, JobState

GOOD, PLAIN, WARN, BAD, MARK = "good", "plain", "warn", "bad", "mark"
"""The moods of a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: float
    """Seconds since the demo began."""
    text: str
    mood: str = PLAIN


@dataclass(slots=True)
class Group:
    """One kind of work, counted."""

    name: str
    planned: int = 0
    done: float = 0.0
    """Jobs that have ended, and parts of those that are at it."""
    states: Counter[JobState] = field(default_factory=Counter)


class Board:
    """Counts and lines, kept up to date from the rows of the store."""

    def __init__(self) -> None:
        self.groups = {name: Group(name) for name in rows.GROUPS}
        self.lines: deque[Line] = deque(maxlen=200)
        self.jobs: dict[str, Job] = {}
        self.worker = ""
        """What the worker is doing, in a few words."""
        self.past = ""
        """What became of the worker before it."""
        self.task = ""
        """What the demo itself is doing, when that is not waiting."""
        self.drawn = (0, 0)
        """Pictures drawn on the spot, and how many there will be."""

    def say(self, at: float, text: str, mood: str = PLAIN) -> None:
        """Add a line of the demo's own."""
        self.lines.append(Line(at, rows.printable(text), mood))

    def plan(self, group: str, count: int) -> None:
        """So many jobs of this kind there will be, even if they are not enqueued yet."""
        self.groups[group].planned = count

    def take(self, jobs: Sequence[Job], at: float) -> None:
        """Compare the rows as they are with the rows as they were."""
        first = not self.jobs
        for group in self.groups.values():
            group.done, group.states = 0.0, Counter()
        for job in jobs:
            if job.queue not in self.groups:
                continue
            group = self.groups[job.queue]
            group.states[job.state] += 1
            group.done += rows.fraction(job)
            if not first:
                for text, mood in _changes(self.jobs.get(job.id), job):
                    self.say(at, text, mood)
        for group in self.groups.values():
            group.planned = max(group.planned, group.states.total())
        self.jobs = {job.id: job for job in jobs}

    @property
    def live(self) -> list[Job]:
        """The jobs that have not ended."""
        return [job for job in self.jobs.values() if not job.state.final]

    @property
    def running(self) -> list[Job]:
        """The jobs a worker holds now, the longest running first."""
        held = [job for job in self.jobs.values() if job.state.value == "running"]
        return sorted(held, key=lambda job: job.started_at or 0)

    def disk_full(self) -> bool:
        """True when a job waits for room on the disk: it will not come by waiting."""
        return any(job.error is not None and NO_ROOM in job.error.message for job in self.live)


def _changes(before: Job | None, now: Job) -> Iterable[tuple[str, str]]:
    """What to say about one job, and in what mood."""
    if before is None:
        return
    subject = rows.subject(now)
    if now.crashes > before.crashes and not now.state.final:
        yield f"{subject}: its worker is dead, its lease is over: it runs again", WARN
    state = now.state.value
    if rows.failures(now) > rows.failures(before) and not now.state.final and now.error is not None:
        yield f"{subject}: attempt {now.attempt} failed ({now.error.message}); it will be tried again", WARN
    if before.state.value == "scheduled" and state != "scheduled" and now.kind == "send_reminder":
        yield f"{subject}: the delayed job has come due", MARK
    if state == before.state.value:
        return
    if state == "completed":
        yield f"{subject}{_outcome(now)}", GOOD
    elif state == "discarded" and now.error is not None:
        yield f"{subject}: given up, now a dead letter: {now.error.message}", BAD
    elif state == "cancelled":
        yield f"{subject}: cancelled", WARN


def _outcome(job: Job) -> str:
    made = rows.result(job)
    if job.queue == rows.PICTURES:
        size = sum(file["bytes"] for file in made["files"])
        return f": {len(made['files'])} thumbnails, {size // 1024} KiB"
    if job.queue == rows.MAILS:
        again = f" in attempt {job.attempt}" if job.attempt > 1 else ""
        return f": mail delivered{again}"
    if job.queue == rows.REPORTS:
        return f": report written, {made} jobs"
    return f": answered {made!r} in attempt {job.attempt}"
