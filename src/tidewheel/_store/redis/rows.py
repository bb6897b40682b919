"""Jobs as the scripts take and give them: msgpack arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tidewheel._model.after import OnFailure
from tidewheel._model.graph import Edge
from tidewheel._model.job import AttemptRecord, Claimed, ErrorInfo, Job, Lease, LogLine, NewJob, stored_flow
from tidewheel._model.state import JobState
from tidewheel._store.children import check_after

_EXACT: Final = 1 << 53
_json: Final = msgspec.json.Encoder()
_tags: Final = msgspec.json.Decoder(tuple[str, ...])


class Head(msgspec.Struct, array_like=True, gc=False):
    """What scripts look at; see `keys.py`. `False` stands for none."""

    seq: int
    queue: str
    kind: str
    priority: int
    lifo: bool
    max_attempts: int
    max_crashes: int
    enqueued_at: int
    unique_key: str | bool
    keep_completed: int | bool
    keep_failed: int | bool
    on_dead: str | bool
    state: JobState
    epoch: int
    attempt: int
    crashes: int
    run_at: int | str
    cancel_requested: bool
    started_at: int | bool
    finished_at: int | bool
    lease_until: int | bool


class Whole(msgspec.Struct, array_like=True, gc=False):
    """A job as `whole` in lib.lua gives it. The texts stay undecoded until one by one they are looked at."""

    id: str
    head: Head
    worker: str | None
    args: msgspec.Raw
    tags: msgspec.Raw
    meta: msgspec.Raw
    options: msgspec.Raw
    progress: msgspec.Raw
    result: msgspec.Raw
    error: msgspec.Raw
    flow: msgspec.Raw
    parked_by: msgspec.Raw
    expires_at: msgspec.Raw
    backlog: msgspec.Raw
    lead: msgspec.Raw


_whole: Final = msgspec.msgpack.Decoder(Whole)
_head: Final = msgspec.msgpack.Decoder(Head)
_extras: Final = msgspec.msgpack.Decoder(tuple[str | None, str | None, str | None])
_HEAD_OPENS: Final = b"\xdc\x00\x15"
_EXTRAS_OPEN: Final = b"\x93"
_edge: Final = msgspec.msgpack.Decoder(tuple[int, OnFailure, JobState | None, str | None, tuple[str, str, str] | None])
_EDGE_OPENS: Final = b"\x95"
_text: Final[msgspec.msgpack.Decoder[str | None]] = msgspec.msgpack.Decoder(str | None)
_error: Final = msgspec.msgpack.Decoder(tuple[str, str, str] | None)
_attempt: Final = msgspec.msgpack.Decoder(tuple[int, int, str | None, int, int, str, tuple[str, str, str] | None])
_log: Final = msgspec.msgpack.Decoder(tuple[int, str, str])


def batch(rows: Sequence[tuple[Any, ...]]) -> tuple[int, dict[int, Any], dict[int, tuple[Any, ...]]]:
    """Rows as `rows_of` in lib.lua has them: what all share is sent once, which halves the work of both sides."""
    size = len(rows)
    shared: dict[int, Any] = {}
    own: dict[int, tuple[Any, ...]] = {}
    for number, column in enumerate(zip(*rows, strict=True), 1):
        if column.count(column[0]) == size:
            shared[number] = column[0]
        else:
            own[number] = column
    return size, shared, own


def new_row(job: NewJob) -> tuple[Any, ...]:
    """The columns of `insert` in lib.lua."""
    run_at = job.run_at
    return (
        job.id, job.kind, job.queue, job.args, job.priority, job.delay,
        run_at if run_at is None or abs(run_at) < _EXACT else str(run_at),
        job.lifo, job.max_attempts, job.max_crashes, job.unique_key,
        _json.encode(job.tags).decode() if job.tags else None, job.meta, job.options,
        job.keep_completed, job.keep_failed, job.on_dead, stored_flow(job), job.expires_in,
        job.backlog and job.backlog.key, job.lead or None,
    )  # fmt: skip


def asking_row(job: NewJob) -> tuple[Any, ...]:
    """The columns of enqueue_asking.lua."""
    rule = job.rule and (
        job.rule.key, job.rule.holds, job.rule.period, job.rule.count, job.rule.on_conflict, job.rule.replace,
        job.rule.max_wait,
    )  # fmt: skip
    most, drop_oldest = (job.backlog.most, job.backlog.drop_oldest) if job.backlog else (None, None)
    return *new_row(job), rule, most, drop_oldest, _after(job), job.fair and (job.fair.key, job.fair.step)


def _after(job: NewJob) -> list[tuple[str, str]] | bool | None:
    """What it waits for; False when it cannot."""
    try:
        check_after(job)
    except ValueError:
        return False
    return [(one.id, one.on_failure) for one in job.after] or None


def edge(parent: bytes, child: bytes, row: bytes) -> Edge:
    """An edge as edges.lua gives it."""
    place, on_failure, state, result, error = _edge.decode(_EDGE_OPENS + row)
    said = None if error is None else ErrorInfo(*error)
    return Edge(parent.decode(), child.decode(), on_failure, state, result, said, place)


def claimed(id: bytes, fixed: bytes, varying: bytes, args: bytes, extras: bytes | None) -> Claimed | Lease:
    """A claimed job, or the lease of one that cannot be read."""
    known = _head.decode(_HEAD_OPENS + fixed + varying)
    try:
        tags, meta, options = (None, None, None) if extras is None else _extras.decode(_EXTRAS_OPEN + extras)
        return Claimed(
            id.decode(), known.epoch, known.kind, known.queue, args.decode(), known.attempt, known.max_attempts,
            known.crashes, known.enqueued_at, int(known.started_at), tags, meta, options,
            known.max_crashes,
        )  # fmt: skip
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Lease(id.decode(), known.epoch)


def job(row: bytes) -> tuple[int, Job]:
    """A job and its place in the order of the enqueue. Texts that cannot be read are shown as empty:
    people must still see the row.
    """
    whole = _whole.decode(row)
    head = whole.head
    return head.seq, Job(
        id=whole.id, kind=head.kind, queue=head.queue, state=head.state, args=_read(whole.args) or "",
        priority=head.priority, run_at=int(head.run_at), lifo=head.lifo, attempt=head.attempt,
        max_attempts=head.max_attempts, epoch=head.epoch, crashes=head.crashes, max_crashes=head.max_crashes,
        enqueued_at=head.enqueued_at, started_at=_int(head.started_at), finished_at=_int(head.finished_at),
        lease_until=_int(head.lease_until), worker=whole.worker, cancel_requested=head.cancel_requested,
        unique_key=_str(head.unique_key), tags=_tag_list(_read(whole.tags)), meta=_read(whole.meta),
        options=_read(whole.options), keep_completed=_int(head.keep_completed), keep_failed=_int(head.keep_failed),
        on_dead=_str(head.on_dead), progress=_read(whole.progress), result=_read(whole.result),
        error=_error_of(whole.error), flow=_read(whole.flow), parked_by=_read(whole.parked_by),
        expires_at=_number(_read(whole.expires_at)), backlog=_read(whole.backlog),
        lead=_number(_read(whole.lead)) or 0,
    )  # fmt: skip


def job_or_none(row: bytes | None) -> Job | None:
    """A job, or None where there is none or its head cannot be read: a claim or sweep will set it aside."""
    try:
        return None if row is None else job(row)[1]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def attempt(job_id: str, row: bytes) -> AttemptRecord:
    """A record of an attempt."""
    epoch, number, worker, started_at, ended_at, outcome, error = _attempt.decode(row)
    return AttemptRecord(
        job_id=job_id, epoch=epoch, attempt=number, worker=worker, started_at=started_at, ended_at=ended_at,
        outcome=outcome, error=None if error is None else ErrorInfo(*error),
    )  # fmt: skip


def log(row: bytes) -> LogLine:
    """A log line."""
    return LogLine(*_log.decode(row))


def said(lines: Sequence[LogLine]) -> list[tuple[int, str, str]]:
    """Log lines for a script."""
    return [(line.at, line.level, line.message) for line in lines]


def why(error: ErrorInfo | None) -> tuple[str, str, str] | None:
    """An error for a script."""
    return None if error is None else (error.type, error.message, error.traceback)


def _read(raw: msgspec.Raw) -> str | None:
    try:
        return _text.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _number(text: str | None) -> int | None:
    return int(text) if text and text.lstrip("-").isdecimal() else None


def _error_of(raw: msgspec.Raw) -> ErrorInfo | None:
    try:
        error = _error.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ErrorInfo("tidewheel.Unreadable", "The error of this job cannot be read.")
    return None if error is None else ErrorInfo(*error)


def _tag_list(text: str | None) -> tuple[str, ...]:
    try:
        return () if text is None else _tags.decode(text)
    except msgspec.MsgspecError:
        return ()


def _int(value: int | bool) -> int | None:  # noqa: FBT001 -- False is how Lua says none
    return None if value is False else int(value)


def _str(value: str | bool) -> str | None:  # noqa: FBT001 -- the same
    return value if isinstance(value, str) else None
