"""The demo's jobs as rows of the store, and what can be read from one."""

from __future__ import annotations

from typing import Any

import msgspec

from tidewheel import App, Job, JobFilter, JobState

PICTURES, MAILS, CHORES, REPORTS = "pictures", "mails", "chores", "reports"
GROUPS = (PICTURES, MAILS, CHORES, REPORTS)
"""The kinds of work, by the queues they wait in."""


async def read(app: App, tag: str) -> list[Job]:
    """All jobs of a run, oldest first."""
    jobs: list[Job] = []
    cursor: str | None = None
    while True:
        page = await app.jobs.list(JobFilter(tag=tag), limit=1000, cursor=cursor)
        jobs.extend(page.jobs)
        cursor = page.next
        if cursor is None:
            return jobs[::-1]


def arguments(job: Job) -> dict[str, Any]:
    """What the job was called with, by parameter name."""
    return dict(job.payload)


def result(job: Job) -> Any:
    """What its handler returned, as plain data; None while it has not completed."""
    return None if job.result is None else msgspec.json.decode(job.result)


def subject(job: Job) -> str:
    """What the job is about, in a few words: a picture's name, an address, a file."""
    return printable(_subject(job))


def _subject(job: Job) -> str:
    given = arguments(job)
    if job.queue == PICTURES:
        return _last(given["source"])
    if job.queue == MAILS:
        return str(given["customer"]["email"])
    if job.queue == REPORTS:
        return _last(given["target"])
    return f"{job.kind.replace('_', ' ')} ({next(iter(given.values()), '')})"


def printable(text: str) -> str:
    """The text without what would move a terminal's cursor: names of files may hold anything."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(printable(line) for line in text.splitlines())


def count(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def fraction(job: Job) -> float:
    """How far it is: 1 when it has ended, a part of it while it reports progress."""
    if job.state.final:
        return 1.0
    if job.state is not JobState.RUNNING or job.progress is None:
        return 0.0
    progress = msgspec.json.decode(job.progress)
    return float(progress["done"]) / float(progress["of"] or 1)


def failures(job: Job) -> int:
    """Attempts that failed by themselves; those that died with their worker are not their fault."""
    failed = job.attempt - job.crashes - (job.state is JobState.COMPLETED) - (job.state is JobState.RUNNING)
    return max(0, failed)


def _last(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
