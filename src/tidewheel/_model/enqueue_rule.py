"""What a new job brings along about others: a rule for the job that holds the same key, and how many like it may wait.

A key holds for as long as its period runs, or the job that took it last is in the states that hold it. That is looked up
when somebody asks for the key next (`desk.py`), so no end of a job, however it came, has to give anything back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

Holds: TypeAlias = Literal["none", "waiting", "live", "any"]
"""In which states its job holds a key: in none (the period alone does), until it starts, until it ends, until it is gone."""
OnConflict: TypeAlias = Literal["existing", "replace", "cancel"]
"""What becomes of the job that holds the key: it stays and answers; it takes over what the new one says; it is cancelled."""
Field: TypeAlias = Literal["args", "meta", "tags", "priority", "run_at"]
"""What a replace may change. `args` takes the limits' keys and the expiry along, for they were made of the arguments."""


class EnqueueRule(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One job has one rule, or none. Spans in microseconds."""

    key: str
    holds: Holds = "live"
    period: int = 0
    """So long after it was taken the key holds, whatever became of its job."""
    count: int = 0
    """When given: so many jobs in each window of `period`, which begins with the first of them; who comes after them is
    dropped. Nothing but the window holds then.
    """
    on_conflict: OnConflict = "existing"
    replace: Mapping[str, tuple[Field, ...]] = {}
    """For `replace`: by the state of the job that holds the key, what of it changes; in states left out it stays as it is.
    The states are scheduled, available (which stands for parked, too) and retryable.
    """
    max_wait: int = 0
    """For `replace`: a new `run_at` is not later than so long after the key was taken; 0: no limit."""


class Backlog(msgspec.Struct, frozen=True, gc=False):
    """How many jobs of one name may wait: scheduled, available, parked and retryable ones count."""

    key: str
    most: int
    drop_oldest: bool = False
    """The job that was enqueued first of those that wait is cancelled; otherwise the new one is refused."""


class Fair(msgspec.Struct, frozen=True, gc=False):
    """Whose turn it is among the tenants of a line: each start of a tenant moves his next job so far back."""

    key: str
    step: int
    """Microseconds of the line's own time that one start takes, at least 1: the smaller, the more often it is his turn."""
