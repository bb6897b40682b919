"""What came of a run: counted from the store's rows, the mail sink's ledger and the files on disk, not from memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidewheel._demo import rows
from tidewheel._demo.sink import Delivery, file_name

if TYPE_CHECKING:
    from tidewheel import Job
    from tidewheel._demo.folder import OutputFolder
    from tidewheel._demo.kill import KillNote


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter, as the summary shows it."""

    id: str
    subject: str
    error: str
    message: str
    traceback: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The numbers of the summary card, and everything that is not as it should be."""

    jobs: int
    completed: int
    retried: int
    """Jobs that failed and were tried again."""
    rescued: int
    """Jobs whose worker died under them and that ran again."""
    dead_letters: tuple[Dead, ...]
    pictures: int
    thumbnails: int
    thumbnail_bytes: int
    mails: int
    """Mails that lie in the folder: one for each Message-ID."""
    sent_again: int
    """Deliveries of a mail that was there already: its worker died between sending it and recording that."""
    delayed: int
    """Jobs that were ordered for later and have come due."""
    late_ms: float | None
    """How long after its time the delayed job started; None when it had to start twice."""
    killed_after: float | None
    """Seconds from the start to the kill; None when no worker was killed on purpose."""
    running_at_kill: int
    completed_at_kill: int
    redone: int
    """Of these, jobs that were run again: there must be none."""
    known: int
    """Jobs that an earlier, interrupted run had enqueued already."""
    seconds: float
    files: Mapping[str, str] = field(default_factory=dict)
    """Where things lie: absolute paths."""
    store: str = ""
    warnings: tuple[str, ...] = ()
    """What was left out of the input, and why."""
    wrong: tuple[str, ...] = ()
    """Promises that were not kept; empty when all is well."""


def gather(
    jobs: Sequence[Job],
    planned: Sequence[str],
    deliveries: Sequence[Delivery],
    kill: KillNote | None,
    folder: OutputFolder,
    *,
    store: str,
    known: int,
    seconds: float,
    warnings: Sequence[str] = (),
) -> Facts:
    """Look at everything once more."""
    states = Counter(job.state.value for job in jobs)
    dead = [job for job in jobs if job.state.value == "discarded"]
    thumbnails = [
        file for job in jobs if job.queue == rows.PICTURES and job.result for file in rows.result(job)["files"]
    ]
    delayed = next((job for job in jobs if job.kind == "send_reminder" and job.attempt == 1 and job.started_at), None)
    mails = {path.stem for path in folder.mails.glob("*.eml")}
    ours = {job.id for job in jobs}
    return Facts(
        jobs=len(jobs),
        completed=states["completed"],
        retried=sum(job.attempt - job.crashes > 1 for job in jobs),
        rescued=sum(job.crashes > 0 for job in jobs),
        dead_letters=tuple(_dead(job) for job in dead),
        pictures=sum(job.queue == rows.PICTURES and job.result is not None for job in jobs),
        thumbnails=len(thumbnails),
        thumbnail_bytes=sum(file["bytes"] for file in thumbnails),
        mails=len({file_name(job.id) for job in jobs} & mails),
        sent_again=sum(delivery.again for delivery in deliveries if delivery.job in ours),
        delayed=sum(job.kind == "send_reminder" and job.started_at is not None for job in jobs),
        late_ms=None if delayed is None or delayed.started_at is None else (delayed.started_at - delayed.run_at) / 1000,
        killed_after=None if kill is None else kill.after,
        running_at_kill=0 if kill is None else len(kill.running),
        completed_at_kill=0 if kill is None else len(kill.completed),
        redone=0 if kill is None else sum(kill.completed.get(job.id, job.epoch) != job.epoch for job in jobs),
        known=known,
        seconds=seconds,
        files={
            "output": str(folder.root), "thumbnails": str(folder.thumbnails), "mails": str(folder.mails),
            "reports": str(folder.reports), "dead_letters": str(folder.dead_letters),
            "worker_log": str(folder.worker_log),
        },
        store=store,
        warnings=tuple(warnings),
        wrong=tuple(broken_promises(jobs, planned, deliveries, kill, mails)),
    )  # fmt: skip


def broken_promises(
    jobs: Sequence[Job],
    planned: Sequence[str],
    deliveries: Sequence[Delivery],
    kill: KillNote | None,
    mails: set[str],
) -> list[str]:
    """Whatever shows that a job was lost, or that something recorded as done was done again."""
    by_id = {job.id: job for job in jobs}
    wrong = [f"job {job_id} is lost: it was enqueued and is not there" for job_id in planned if job_id not in by_id]
    wrong += [f"job {job.id} has not ended: it is {job.state.value}" for job in jobs if not job.state.final]
    for delivery in deliveries:
        if delivery.job in by_id:
            wrong += _wrong_delivery(delivery, by_id[delivery.job])
    done = kill.completed.items() if kill is not None else ()
    wrong += [
        f"job {job_id} was completed before the kill and has been run again"
        for job_id, epoch in done
        if job_id in by_id and by_id[job_id].epoch != epoch
    ]
    gone = "is gone: run the demo with --fresh to make it again"
    for job in jobs:
        if job.state.value == "completed" and job.queue == rows.MAILS and file_name(job.id) not in mails:
            wrong.append(f"the mail of {job.id} {gone}")
        wrong += [f"{path} {gone}" for path in _files(job) if not path.is_file()]
    return wrong


def _wrong_delivery(delivery: Delivery, job: Job) -> list[str]:
    if job.state.value == "completed" and job.finished_at is not None and delivery.at > job.finished_at:
        return [f"the mail of {job.id} was sent again after its job was recorded as completed"]
    if delivery.again and job.attempt == 1 and job.crashes == 0:
        return [f"the mail of {job.id} was sent twice in one attempt"]
    return []


def _files(job: Job) -> list[Path]:
    """What a completed job has written."""
    if job.state.value != "completed":
        return []
    if job.queue == rows.PICTURES:
        made = rows.result(job)
        return [Path(made["folder"], file["name"]) for file in made["files"]]
    return [Path(rows.arguments(job)["target"])] if job.queue == rows.REPORTS else []


def _dead(job: Job) -> Dead:
    error = job.error
    if error is None:
        return Dead(job.id, rows.subject(job), "unknown", "no error was kept", "", job.attempt)
    return Dead(job.id, rows.subject(job), error.type, error.message, error.traceback, job.attempt)


def as_json(facts: Facts) -> dict[str, Any]:
    """The facts for programs."""
    return {
        "ok": not facts.wrong,
        "jobs": facts.jobs,
        "completed": facts.completed,
        "retried": facts.retried,
        "rescued": facts.rescued,
        "dead_letters": [
            {"id": dead.id, "subject": dead.subject, "error": dead.error, "message": dead.message,
             "attempts": dead.attempts, "traceback": dead.traceback}
            for dead in facts.dead_letters
        ],
        "pictures": facts.pictures,
        "thumbnails": {"files": facts.thumbnails, "bytes": facts.thumbnail_bytes},
        "mails": {"delivered": facts.mails, "sent_again": facts.sent_again},
        "delayed": {"jobs": facts.delayed, "late_ms": facts.late_ms},
        "kill": None if facts.killed_after is None else {
            "after_s": round(facts.killed_after, 2), "running": facts.running_at_kill,
            "completed": facts.completed_at_kill, "redone": facts.redone,
        },
        "known_from_earlier_run": facts.known,
        "seconds": round(facts.seconds, 2),
        "files": dict(facts.files),
        "store": facts.store,
        "warnings": list(facts.warnings),
        "wrong": list(facts.wrong),
    }  # fmt: skip
