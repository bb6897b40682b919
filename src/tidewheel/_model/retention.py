"""How long finished jobs are kept: by age and by count, for completed and for failed ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tidewheel._model.duration import Span, micros
from tidewheel._model.state import JobState


class Keep(msgspec.Struct, frozen=True, gc=False):
    """A limit on finished jobs. Both bounds hold at once; None means no bound."""

    count: int | None = None
    """Newest jobs to keep, per queue and task."""
    age: int | None = None
    """Microseconds after the end."""


FOREVER: Final = Keep()


class Retention(msgspec.Struct, frozen=True, gc=False):
    """What to keep of completed jobs, and of failed ones (cancelled and discarded)."""

    completed: Keep = Keep(count=1_000, age=24 * 3600 * 1_000_000)
    failed: Keep = Keep(count=5_000)

    def keep(self, state: JobState) -> Keep:
        """The limit for jobs that ended in `state`."""
        return self.completed if state is JobState.COMPLETED else self.failed


def keep(count: int | None = None, age: Span | None = None) -> Keep:
    """A limit on finished jobs: at most `count` of them, none older than `age` (seconds or "24h").

    `keep()` keeps everything; `keep(0)` removes a job as soon as it has ended.

    Raises:
        ValueError: a negative count or age.
    """
    if count is not None and count < 0:
        raise ValueError(f"keep(count={count}) is negative. Give a number of jobs, or None to keep all.")
    return Keep(count, None if age is None else micros(age))


class RetentionRule(msgspec.Struct, frozen=True, gc=False):
    """Retention for the jobs of one kind in one queue (None: in any queue)."""

    kind: str
    queue: str | None
    retention: Retention


def rule_for(rules: Sequence[RetentionRule], queue: str, kind: str) -> Retention | None:
    """The first rule that matches, or None: jobs of kinds no rule names are left alone,
    because a worker must not prune what it does not know.
    """
    for rule in rules:
        if rule.kind == kind and rule.queue in (None, queue):
            return rule.retention
    return None
