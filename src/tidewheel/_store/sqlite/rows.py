"""Rows of the tables as values, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from tidewheel._model.job import AttemptRecord, ErrorInfo, Job, NewJob, stored_flow
from tidewheel._model.state import JobState
from tidewheel._store.sqlite.sql import statement

T = TypeVar("T")

COLUMNS: Final = (
    "id, kind, queue, state, args, priority, run_at, lifo, attempt, max_attempts, epoch, crashes, max_crashes, "
    "enqueued_at, started_at, finished_at, lease_until, worker, cancel_requested, unique_key, tags, meta, options, "
    "keep_completed, keep_failed, on_dead, progress, result, error, flow, parked_by, expires_at, backlog, lead"
)
"""What `job` reads, in its order."""

_encoder: Final = msgspec.json.Encoder()
_error: Final = msgspec.json.Decoder(ErrorInfo)
_tags: Final = msgspec.json.Decoder(tuple[str, ...])
_keys: Final = msgspec.json.Decoder(list[str])
_seqs: Final = msgspec.json.Decoder(list[int])


def job(row: Sequence[Any]) -> Job:
    """A `Job` from the columns of `COLUMNS`."""
    (
        id, kind, queue, state, args, priority, run_at, lifo, attempt, max_attempts, epoch, crashes, max_crashes,
        enqueued_at, started_at, finished_at, lease_until, worker, cancel_requested, unique_key, tags, meta, options,
        keep_completed, keep_failed, on_dead, progress, result, error, flow, parked_by, expires_at, backlog,
        lead,
    ) = row  # fmt: skip
    known, unreadable = state_of(state)
    return Job(
        id=id, kind=kind, queue=queue, state=known, args=args, priority=priority, run_at=run_at,
        lifo=bool(lifo), attempt=attempt, max_attempts=max_attempts, epoch=epoch, crashes=crashes,
        max_crashes=max_crashes, enqueued_at=enqueued_at, started_at=started_at, finished_at=finished_at,
        lease_until=lease_until, worker=worker, cancel_requested=bool(cancel_requested), unique_key=unique_key,
        tags=decoded(_tags, tags) or (), meta=meta, options=options, keep_completed=keep_completed,
        keep_failed=keep_failed, on_dead=on_dead, progress=progress, result=result, error=unreadable or error_of(error),
        flow=flow, parked_by=parked_by, expires_at=expires_at, backlog=backlog, lead=lead or 0,
    )  # fmt: skip


def state_of(word: str) -> tuple[JobState, ErrorInfo | None]:
    """The state of a row. No worker takes one in a state that does not exist: it is shown as given up, and why."""
    try:
        return JobState(word), None
    except ValueError:
        return JobState.DISCARDED, ErrorInfo("tidewheel.Unreadable", f"Its stored state '{word}' does not exist.")


NEW: Final = (
    "id", "kind", "queue", "state", "args", "priority", "run_at", "lifo", "max_attempts", "max_crashes", "enqueued_at",
    "unique_key", "tags", "meta", "options", "keep_completed", "keep_failed", "on_dead", "flow", "expires_at", "backlog",
    "lead",
)  # fmt: skip


def new_row(job: NewJob, now: int) -> tuple[Any, ...]:
    """The columns `NEW` of a new job."""
    run_at = job.run_at if job.run_at is not None else now + job.delay
    state = "scheduled" if run_at > now else "available"
    if job.lead and state == "available" and not lines_up(job):
        run_at -= job.lead
    return (
        job.id, job.kind, job.queue, state, job.args, job.priority, run_at,
        1 if job.lifo else 0, job.max_attempts, job.max_crashes, now, job.unique_key,
        text(job.tags) if job.tags else None, job.meta, job.options, job.keep_completed, job.keep_failed, job.on_dead,
        job.flow if job.expires_in is None else stored_flow(job),
        None if job.expires_in is None else now + job.expires_in,
        None if job.backlog is None else job.backlog.key, job.lead or None,
    )  # fmt: skip


def lines_up(job: NewJob) -> bool:
    """Whether its place in line is only known when it is in: `enqueue.py` gives it."""
    return bool(job.after) or (job.fair is not None and not job.lifo)


def attempt(job_id: str, row: Sequence[Any]) -> AttemptRecord:
    """An `AttemptRecord` from (epoch, attempt, worker, started_at, ended_at, outcome, error)."""
    epoch, number, worker, started_at, ended_at, outcome, error = row
    return AttemptRecord(
        job_id=job_id, epoch=epoch, attempt=number, worker=worker, started_at=started_at, ended_at=ended_at,
        outcome=outcome, error=error_of(error),
    )  # fmt: skip


def error_of(value: str | None) -> ErrorInfo | None:
    """The error of a row; one that cannot be read is shown as it is."""
    if value is None:
        return None
    try:
        return _error.decode(value)
    except msgspec.MsgspecError:
        return ErrorInfo("tidewheel.Unreadable", value)


def decoded(decoder: msgspec.json.Decoder[T], value: str | None) -> T | None:
    """JSON of a column, or None when there is none or it cannot be read: people must still see the row."""
    try:
        return None if value is None else decoder.decode(value)
    except msgspec.MsgspecError:
        return None


def text(value: Any) -> str:
    """JSON text for a parameter."""
    return _encoder.encode(value).decode()


def seqs(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> list[int]:
    """Run a statement that gives one JSON list of integers."""
    return _seqs.decode(connection.execute(sql, parameters).fetchone()[0])


def keys(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> list[str]:
    """Run a statement that gives one JSON list of names."""
    return _keys.decode(connection.execute(sql, parameters).fetchone()[0])


def listed(
    connection: sqlite3.Connection,
    name: str,
    decoder: msgspec.json.Decoder[list[T]],
    asked: list[Any],
    lost: list[Any] | None = None,
) -> list[T]:
    """What a statement gives for a JSON list, as one JSON list itself. What cannot be read is left out, and `lost`."""
    try:
        return decoder.decode(connection.execute(statement(name), (text(asked),)).fetchone()[0])
    except msgspec.MsgspecError:
        if len(asked) > 1:
            return [row for one in asked for row in listed(connection, name, decoder, [one], lost)]
        if lost is not None:
            lost += asked
        return []
