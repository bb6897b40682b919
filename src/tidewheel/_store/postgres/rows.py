"""Rows of the tables as values, and back.

Every column has its type in the server, so a row that cannot be read at all, as in a file, does not happen here:
JSON stays text and is decoded by whoever looks inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tidewheel._model.flow import order_key_of
from tidewheel._model.job import AttemptRecord, Claimed, ErrorInfo, Job, LogLine, NewJob, stored_flow
from tidewheel._model.state import JobState

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Record

COLUMNS: Final = (
    "id, kind, queue, state, args, priority, run_at, lifo, attempt, max_attempts, epoch, crashes, max_crashes, "
    "enqueued_at, started_at, finished_at, lease_until, worker, cancel_requested, unique_key, tags, meta, options, "
    "keep_completed, keep_failed, on_dead, progress, result, flow, parked_by, expires_at, backlog, lead, error_type, "
    "error_message, error_traceback, seq"
)
"""What `job` reads, in its order; the place in the order of the enqueue comes last."""

NEW: Final = (
    ("id", "text"),
    ("kind", "text"),
    ("queue", "text"),
    ("args", "text"),
    ("priority", "int"),
    ("delay", "bigint"),
    ("run_at", "bigint"),
    ("lifo", "boolean"),
    ("max_attempts", "int"),
    ("max_crashes", "int"),
    ("unique_key", "text"),
    ("tags", "text"),
    ("meta", "text"),
    ("options", "text"),
    ("keep_completed", "bigint"),
    ("keep_failed", "bigint"),
    ("on_dead", "text"),
    ("flow", "text"),
)
"""The columns of `enqueue.sql` and their types."""
MORE: Final = (
    *NEW,
    ("expires_in", "bigint"),
    ("backlog", "text"),
    ("awaited", "boolean"),
    ("parked_by", "text"),
    ("order_key", "text"),
    ("lead", "bigint"),
    ("stands_at", "bigint"),
)
"""Those of `enqueue_more.sql`."""

_encoder: Final = msgspec.json.Encoder()


def job(row: Record) -> Job:
    """A `Job` from the columns of `COLUMNS`."""
    (
        id, kind, queue, state, args, priority, run_at, lifo, attempt, max_attempts, epoch, crashes, max_crashes,
        enqueued_at, started_at, finished_at, lease_until, worker, cancel_requested, unique_key, tags, meta, options,
        keep_completed, keep_failed, on_dead, progress, result, flow, parked_by, expires_at, backlog, lead, *error, _,
    ) = row  # fmt: skip
    return Job(
        id=id, kind=kind, queue=queue, state=JobState(state), args=args, priority=priority, run_at=run_at, lifo=lifo,
        attempt=attempt, max_attempts=max_attempts, epoch=epoch, crashes=crashes, max_crashes=max_crashes,
        enqueued_at=enqueued_at, started_at=started_at, finished_at=finished_at, lease_until=lease_until,
        worker=worker, cancel_requested=cancel_requested, unique_key=unique_key, tags=tuple(tags or ()), meta=meta,
        options=options, keep_completed=keep_completed, keep_failed=keep_failed, on_dead=on_dead, progress=progress,
        result=result, error=error_of(*error), flow=flow, parked_by=parked_by,
        expires_at=expires_at, backlog=backlog, lead=lead or 0,
    )  # fmt: skip


def new_row(job: NewJob) -> tuple[Any, ...]:
    """The values of `NEW` for one job."""
    return (
        job.id, job.kind, job.queue, job.args, job.priority, job.delay, job.run_at, job.lifo, job.max_attempts,
        job.max_crashes, job.unique_key, array(job.tags) if job.tags else None, job.meta, job.options,
        job.keep_completed, job.keep_failed, job.on_dead, job.flow,
    )  # fmt: skip


def own_columns(job: NewJob) -> dict[str, Any]:
    """What a job that may run at once has in the columns of `NEW`, where it has something."""
    own = {name: value for (name, _), value in zip(NEW, new_row(job), strict=True) if value is not None}
    del own["delay"]
    return own | {"tags": job.tags} if job.tags else own


def more_row(
    job: NewJob, *, awaited: bool | None = None, parked_by: str | None = None, stands_at: int | None = None
) -> tuple[Any, ...]:
    """The values of `MORE` for one job."""
    *plain, _ = new_row(job)
    return (
        *plain, stored_flow(job), job.expires_in, None if job.backlog is None else job.backlog.key, awaited, parked_by,
        order_key_of(job.flow), job.lead or None, stands_at,
    )  # fmt: skip


def array(tags: Sequence[str]) -> str:
    """An array as the server writes it: a column of arrays cannot be handed over, one of texts can."""
    quoted = ('"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"' for tag in tags)
    return "{" + ",".join(quoted) + "}"


def claimed(row: Record) -> Claimed:
    """A `Claimed` from what `claim.sql` or `gates_take.sql` gives."""
    (
        id,
        epoch,
        kind,
        queue,
        args,
        attempt,
        attempts,
        crashes,
        enqueued_at,
        claimed_at,
        tags,
        meta,
        options,
        lives,
        *_,
    ) = row
    listed = None if tags is None else _encoder.encode(tags).decode()
    return Claimed(
        id, epoch, kind, queue, args, attempt, attempts, crashes, enqueued_at, claimed_at, listed, meta, options, lives
    )


def in_line(rows: Sequence[Record], queues: Sequence[str]) -> Sequence[Record]:
    """What `claim.sql` gives, in the order of the queues and of their lines."""
    if len(rows) < 2:
        return rows
    place = {queue: number for number, queue in enumerate(queues)}

    def turn(row: Record) -> tuple[int, ...]:
        priority, lifo, run_at, seq = row[14:]
        return (place[row[3]], priority, -run_at, -seq) if lifo else (place[row[3]], priority, run_at, seq)

    return sorted(rows, key=turn)


def attempt(job_id: str, row: Record) -> AttemptRecord:
    """An `AttemptRecord` from (epoch, attempt, worker, started_at, ended_at, outcome, error in three columns)."""
    epoch, number, worker, started_at, ended_at, outcome, *error = row
    return AttemptRecord(
        job_id=job_id, epoch=epoch, attempt=number, worker=worker, started_at=started_at, ended_at=ended_at,
        outcome=outcome, error=error_of(*error),
    )  # fmt: skip


def error_of(type: str | None, message: str | None, traceback: str | None) -> ErrorInfo | None:
    """The error in three columns."""
    return None if type is None else ErrorInfo(type, message or "", traceback or "")


def error_row(error: ErrorInfo | None) -> tuple[str | None, str | None, str | None]:
    """The three columns of an error."""
    if error is None:
        return None, None, None
    return said(error.type), said(error.message), said(error.traceback)


def line_row(seq: int, line: LogLine) -> tuple[int, int, str, str]:
    """The columns of a log line."""
    return seq, line.at, said(line.level), said(line.message)


def said(text: str) -> str:
    """What a handler said, as the server can store it: text there has no NUL and no half surrogates."""
    if text.isascii():
        return text.replace("\0", "\\0") if "\0" in text else text
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    """Rows as columns, for statements that take arrays."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
