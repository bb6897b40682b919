"""The words of an answer: moments, names, lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from tidewheel._evidence import Facts, GateFact
from tidewheel._model.duration import SECOND, human
from tidewheel._model.gate import capacity
from tidewheel._model.job import Job
from tidewheel._model.limit import GateRow, Rule
from tidewheel._model.state import JobState
from tidewheel._model.transition import rescue_of_job
from tidewheel._model.worker import WorkerRow

NAMED: Final = 3
"""A text names at most so many of a sort."""
LONGEST_ERROR: Final = 200
"""Letters of it that a text has."""
START: Final = "Start one: tidewheel worker APP"


def nobody_sweeps(facts: Facts) -> str:
    return "" if facts.live else f" But no worker lives that could do it.{last_heard(facts)} {START}"


def fate(job: Job) -> str:
    """What a rescue will make of it."""
    ending = rescue_of_job(job)
    if ending.state is JobState.AVAILABLE:
        return "it runs again"
    return "ends it, as it was asked to" if ending.error is None else f"gives it up ({ending.error.type})"


def last_heard(facts: Facts) -> str:
    if not facts.workers:
        return ""
    last = max(facts.workers, key=lambda one: one.seen_at)
    return f" The last one heard of was {worker_name(last)}, {moment(last.seen_at, facts.now)}."


def worker_name(row: WorkerRow) -> str:
    return f"{row.info.id} (process {row.info.pid} on {row.info.host})"


def gate_name(row: GateRow) -> str:
    value = row.key.partition(":")[2]
    return f"limit {row.limit!r} (key {value!r})" if value else f"limit {row.limit!r}"


def cost_at(fact: GateFact, rule: Rule) -> int:
    return max(1, min(fact.one.cost, capacity(rule)))


def error_line(job: Job) -> str:
    if job.error is None:
        return "no error that was kept"
    flat = " ".join(f"{job.error.type}: {job.error.message}".split())
    return flat.rstrip(".") if len(flat) <= LONGEST_ERROR else flat[: LONGEST_ERROR - 1] + "…"


def some(ids: Sequence[str], number: int) -> str:
    """The first of them, and how many more there are."""
    named = ids[:NAMED]
    return ", ".join(named) + (f" and {number - len(named):,} more" if number > len(named) else "")


def listed(words: Sequence[str], between: str = ", ") -> str:
    return between.join(words[:NAMED]) + (f" and {len(words) - NAMED} more" if len(words) > NAMED else "")


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def moment(at: int | None, now: int) -> str:
    """`3s ago (2026-01-31 09:00:00 UTC)`, `in 5m (...)`."""
    if at is None:
        return "at a time nobody wrote down"
    away = abs(at - now) // SECOND * SECOND
    seen = "now" if away == 0 else f"in {human(away)}" if at > now else f"{human(away)} ago"
    try:
        return f"{seen} ({datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    except (ValueError, OverflowError, OSError):
        return seen  # a time that nobody meant is still answered
