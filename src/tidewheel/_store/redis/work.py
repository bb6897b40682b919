"""What the scripts are asked and what their answers mean, for operations that are more than a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from tidewheel._model.enqueue_rule import Backlog
from tidewheel._model.job import ErrorInfo, NewJob
from tidewheel._model.outcome import Complete, Discarded, RetryLater, Settlement
from tidewheel._model.query import Accepted, Altered, Enqueued, JobFilter, SweepReport
from tidewheel._model.retention import RetentionRule
from tidewheel._model.state import JobState
from tidewheel._model.transition import (
    EXPIRED_ERROR,
    Ending,
    dropped_for,
    ending_of,
    on_dead_job,
    replaced_by,
    rescue_of,
)
from tidewheel._store.children import check_after, no_child
from tidewheel._store.redis import rows

UNREADABLE: Final = ErrorInfo("tidewheel.Unreadable", "The row cannot be read: it was changed or damaged.")
_clashes: Final = msgspec.msgpack.Decoder(list[bool | tuple[str, JobState]])
_asked: Final = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw, msgspec.Raw])
_answers: Final = msgspec.msgpack.Decoder(
    list[
        tuple[
            str, bool, JobState | None, Literal["", "replaced", "dropped", "full"], str | None, int | None, int | None
        ]
    ]
)
_settled: Final = msgspec.msgpack.Decoder(tuple[str, int])
_altered: Final = msgspec.msgpack.Decoder(tuple[int, list[tuple[JobState | None, JobState | None, bool, bool]] | None])
_swept: Final = msgspec.msgpack.Decoder(
    tuple[bool, int, int, int, int, list[str], int, list[str], int, int, int, bool, int | bool]
)
_begun: Final[msgspec.msgpack.Decoder[list[Any]]] = msgspec.msgpack.Decoder(list[Any])
_decode: Final = msgspec.msgpack.decode


def enqueued(ids: Sequence[str], answer: bytes) -> list[Enqueued]:
    """The answers of `enqueue`."""
    return [
        Enqueued(id, inserted=True) if isinstance(clash, bool) else Enqueued(clash[0], inserted=False, state=clash[1])
        for id, clash in zip(ids, _clashes.decode(answer), strict=True)
    ]


def plain(job: NewJob) -> bool:
    """Whether enqueue_one.lua will do for a job that does not come to the desk."""
    return job.unique_key is None and job.flow is None and job.expires_in is None and not job.lead


def answered(jobs: Sequence[NewJob], answer: bytes) -> tuple[int, list[Enqueued] | None]:
    """What enqueue_asking.lua says: how many ids it used, and the answers; or how many it needs, and None.

    Raises:
        ValueError: a job cannot wait for what it names.
    """
    word, one, other = _asked.decode(answer)
    if word == "ids":
        return _decode(one, type=int), None
    if word != "done":
        job = jobs[_decode(one, type=int)]
        check_after(job)
        raise no_child(job.id, _decode(other, type=str))
    return _decode(other, type=int), [Enqueued(*row) for row in _answers.decode(one)]


def settlement(one: Settlement) -> tuple[Any, ...]:
    """A settlement for settle.lua."""
    (job_id, epoch), outcome = one.lease, one.outcome
    logs = rows.said(one.logs) if one.logs else None
    if isinstance(outcome, Complete):
        return job_id, epoch, "complete", None, outcome.result, None, None, one.progress, logs, None, None
    # Asked for attempt 0 at the time 0, so what comes out are the differences.
    ending = ending_of(outcome, attempt=0, run_at=0, cancel_requested=False, now=0)
    told = dead_args(job_id) if isinstance(outcome, Discarded) else None
    why = None if ending.error is not None else rows.why(ending.record_error)
    hold = outcome.hold or None if isinstance(outcome, RetryLater) else None
    err = rows.why(ending.error)
    return job_id, epoch, ending.record, ending.run_at, None, err, why, one.progress, logs, told, hold


def settled(answer: bytes) -> tuple[int, list[Accepted] | None]:
    """How many ids were used, and the answers; or how many are needed, and None."""
    letters, used = _settled.decode(answer)
    if not letters:
        return used, None
    return used, [Accepted.ACCEPTED if letter == "a" else Accepted.STALE for letter in letters]


def dead_args(dead_id: str) -> str:
    """Arguments of the job that tells of a dead letter."""
    return on_dead_job(new_id="", kind="", dead_id=dead_id, queue="").args


TOLD: Final = rows.new_row(on_dead_job(new_id="", kind="", dead_id="", queue=""))
"""The columns of a job that tells of a dead letter; scripts fill in id, kind, queue and arguments."""


def _template(ending: Ending, **numbers: int) -> tuple[str, str, str]:
    """The error of a rescue with names where its numbers were."""
    assert ending.error is not None  # noqa: S101 -- these endings have one
    return _with_names(ending.error, **numbers)


def _with_names(error: ErrorInfo, **numbers: int) -> tuple[str, str, str]:
    message = error.message
    for name, number in numbers.items():
        message = message.replace(str(number), f"{{{name}}}")
    return error.type, message, error.traceback


CRASHED: Final = _template(
    rescue_of(attempt=1, max_attempts=2, crashes=90_006, max_crashes=80_008, run_at=0, cancel_requested=False),
    crashes=90_007,
    max_crashes=80_008,
)
LEASE_OVER: Final = _template(
    rescue_of(attempt=90_007, max_attempts=80_008, crashes=0, max_crashes=2, run_at=0, cancel_requested=False),
    attempt=90_007,
    max_attempts=80_008,
)
REPLACED: Final = _with_names(replaced_by("{id}"))
DROPPED: Final = _with_names(dropped_for("{id}", Backlog("{key}", 90_007)), most=90_007)
EXPIRED: Final = _with_names(EXPIRED_ERROR)


def rules(retention: Sequence[RetentionRule]) -> list[tuple[Any, ...]]:
    """Retention rules for sweep.lua."""
    return [
        (
            rule.kind, rule.queue, rule.retention.completed.count, rule.retention.completed.age,
            rule.retention.failed.count, rule.retention.failed.age,
        )
        for rule in retention
    ]  # fmt: skip


def swept(answer: bytes) -> tuple[int, SweepReport | None]:
    """How many ids were used, and the report of a sweep; or how many are needed, and None."""
    again, number = _begun.decode(answer)[:2]
    if again:
        return number, None
    _, used, expired, promoted, rescued, discarded, cancelled, gone, pruned, opened, now, more, next_due = (
        _swept.decode(answer)
    )
    report = SweepReport(
        expired=expired, promoted=promoted, rescued=rescued, discarded=tuple(discarded), cancelled=cancelled,
        workers_gone=tuple(gone), pruned=pruned, opened=opened, now=now, more=more,
        next_due_at=None if next_due is False else int(next_due),
    )  # fmt: skip
    return used, report


def filter_row(
    where: JobFilter, states: Sequence[JobState] | None = None, *, not_asked: bool = False
) -> tuple[Any, ...]:
    """A filter for filter.lua, perhaps with other states, perhaps without the jobs that were asked to cancel."""
    return (
        where.states if states is None else states, where.queues, where.kinds, where.tag, where.text or None,
        where.enqueued_after, where.enqueued_before, where.finished_before, not_asked,
    )  # fmt: skip


def index_for(states: Sequence[JobState]) -> str:
    """The sorted set to look through: the dead letters have their own, for they are few among many."""
    return "dead" if set(states) == {JobState.DISCARDED} else "all"


def altered(ids: Sequence[str], answer: bytes) -> tuple[int, list[tuple[Altered, bool]] | None]:
    """How many ids were used, and the answers of `alter`, each with whether anything changed; or how many are needed, and
    None.
    """
    used, rows = _altered.decode(answer)
    if rows is None:
        return used, None
    return used, [
        (Altered(id, before, after, cancel_requested=asked), changed)
        for id, (before, after, asked, changed) in zip(ids, rows, strict=True)
    ]
