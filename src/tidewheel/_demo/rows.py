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


def arguments(job: Job) -> list[Any]:
    """What the job was called with."""
    return list(job.payload["args"])


def result(job: Job) -> Any:
    """What its handler returned, as plain data; None while it has not completed."""
    return None if job.result is None else msgspec.json.decode(job.result)


def subject(job: Job) -> str:
    """What the job is about, in a few words: a picture's name, an address, a file."""
    given = arguments(job)
    if job.queue == PICTURES:
        return _last(given[0])
    if job.queue == MAILS:
        return str(given[0]["email"])
    if job.queue == REPORTS:
        return _last(given[0])
    return f"{job.kind.replace('_', ' ')} ({given[0]})"


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
