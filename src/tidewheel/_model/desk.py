"""The desk where a job with a rule is enqueued: decisions as pure functions; a store brings the rows and writes the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tidewheel._model.enqueue_rule import EnqueueRule, Fair, Holds
from tidewheel._model.flow import CHILDREN, EMPTY_FLOW, EXPIRED
from tidewheel._model.job import NewJob, stored_flow
from tidewheel._model.state import FINAL_STATES, LIVE_STATES, JobState

LAST_PLACE: Final = 1 << 52
"""No tenant's turn is later (in the year 2112), so that every store counts it exactly; whoever is there comes in the order of
the enqueue.
"""
WAITING: Final = LIVE_STATES - {JobState.RUNNING}
_HOLDING: Final[Mapping[Holds, frozenset[JobState]]] = {
    "none": frozenset(),
    "waiting": WAITING,
    "live": LIVE_STATES,
    "any": frozenset(JobState),
}


class KeyRow(msgspec.Struct, frozen=True, gc=False):
    """A key as the store keeps it."""

    job_id: str
    """The job that took it last."""
    since: int
    """When its holding, or its window, began."""
    until: int = 0
    """End of its period."""
    used: int = 1
    """Jobs let in in the window."""


class Holder(msgspec.Struct, frozen=True, gc=False):
    """What a rule asks of the job that took the key."""

    state: JobState
    flow: str | None = None
    parked_by: str | None = None
    expires_at: int | None = None


class Change(msgspec.Struct, frozen=True, gc=False):
    """What a replace makes of a job that waits. None leaves the column as it is."""

    state: JobState
    run_at: int | None = None
    priority: int | None = None
    args: str | None = None
    flow: str | None = None
    """Written together with `args`, also when it is None. So is the expiry (`expires_in` of the new job, from now)."""
    meta: str | None = None
    tags: tuple[str, ...] | None = None


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What to do. Without `insert` the answer names the job of the key's row."""

    insert: bool
    row: KeyRow | None = None
    """How the key's row is from now on; None: as it is. Written only when the insert takes place."""
    change: Change | None = None
    """Change the job that holds the key."""
    cancel: bool = False
    """Cancel the job that holds the key, before the insert: a waiting one ends, a running one is asked to."""
    dropped: bool = False
    remaining: int | None = None
    """Of a window: how many more it lets in."""
    reset_at: int | None = None
    """Of a window: its end."""


def comes_to_the_desk(new: NewJob) -> bool:
    """Whether a new job asks for more than its id and its unique key, or waits for others."""
    return bool(new.rule or new.backlog or new.fair or new.after)


def judge(rule: EnqueueRule, new: NewJob, row: KeyRow | None, holder: Holder | None, now: int) -> Verdict:
    """What the rule makes of an enqueue. `row`: the key's, locked; `holder`: the job it names, if it exists.

    An id that exists is answered before anybody asks the rule, so a repeat after a lost reply counts nothing twice.
    """
    if rule.count:
        return _window(rule, new, row, now)
    fresh = KeyRow(new.id, now, now + rule.period if rule.period else 0)
    if row is None or not _holds(rule, row, holder, now):
        return Verdict(insert=True, row=fresh)
    if rule.on_conflict == "cancel":
        return Verdict(insert=True, row=fresh, cancel=holder is not None and holder.state not in FINAL_STATES)
    if rule.on_conflict == "replace" and holder is not None:
        return Verdict(insert=False, change=_change(rule, new, row, holder, now))
    return Verdict(insert=False)


def due_at(new: NewJob, now: int) -> int:
    """When a new job is due."""
    return new.run_at if new.run_at is not None else now + new.delay


def turn(new: NewJob, fair: Fair, row: KeyRow | None, head: int | None, now: int) -> tuple[int, KeyRow]:
    """The place in line of a new job that may run at once, and its tenant's row from now on. `head`: the place of the first
    job of that line, None when it is empty. Who comes after a silence begins at the head: a silence saves nothing up.
    """
    place = max(now if head is None else head, row.since if row else 0)
    after = min(place + fair.step, LAST_PLACE)
    return place, KeyRow(new.id, after, after)


def _holds(rule: EnqueueRule, row: KeyRow, holder: Holder | None, now: int) -> bool:
    if row.until > now:
        return True
    if holder is None:
        return False
    return holder.state in _HOLDING[rule.holds] and not _over(holder, now)


def _over(holder: Holder, now: int) -> bool:
    """Its time is over, and the next sweep ends it."""
    if holder.state not in WAITING:
        return False
    return holder.parked_by == EXPIRED or (holder.expires_at is not None and holder.expires_at <= now)


def _window(rule: EnqueueRule, new: NewJob, row: KeyRow | None, now: int) -> Verdict:
    if row is None or row.until <= now or row.until > now + rule.period:  # the last: a clock set back, a shorter period
        row = KeyRow(new.id, now, now + rule.period, 0)
    if row.used >= rule.count:
        return Verdict(insert=False, dropped=True, remaining=0, reset_at=row.until)
    row = KeyRow(new.id, row.since, row.until, row.used + 1)
    return Verdict(insert=True, row=row, remaining=rule.count - row.used, reset_at=row.until)


def _change(rule: EnqueueRule, new: NewJob, row: KeyRow, holder: Holder, now: int) -> Change | None:
    state = holder.state
    fields = rule.replace.get("available" if state is JobState.PARKED else state.value, ())
    if not fields or state not in WAITING or _over(holder, now):
        return None
    run_at = None
    if "run_at" in fields and state in (JobState.SCHEDULED, JobState.RETRYABLE):
        run_at = due_at(new, now)
        if rule.max_wait:
            run_at = min(run_at, row.since + rule.max_wait)
        if run_at <= now:
            state = JobState.AVAILABLE
    args, flow = "args" in fields, stored_flow(new)
    if flow is None and holder.flow is not None:
        flow = EMPTY_FLOW  # it may be marked with a gate: a job without a flow never is
    if args and state is JobState.PARKED and holder.parked_by != CHILDREN and flow != holder.flow:
        # Other gates than the one it waits at: a claim judges it anew. The mark stays, so that its gate is looked at then.
        state = JobState.AVAILABLE
    return Change(
        state=state,
        run_at=run_at,
        priority=new.priority if "priority" in fields else None,
        args=new.args if args else None,
        flow=flow if args else None,
        meta=new.meta if "meta" in fields else None,
        tags=new.tags if "tags" in fields else None,
    )
