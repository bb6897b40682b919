"""Why a job does not run, or that it does: one answer, the first that applies. Facts in, a `Why` out; no I/O.

1. it has ended, or it runs
2. its time has not come
3. the gate that parked it is shut
4. its queue is paused, or no live worker could take it
5. a gate that the next claim will ask is shut
6. there are jobs before it, or it is its turn
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import msgspec

from tidewheel._model.duration import SECOND, human
from tidewheel._model.flow import Pass
from tidewheel._model.gate import capacity
from tidewheel._model.job import Job, on_last_life
from tidewheel._model.limit import ROOM_MOST, GateRow, Rule
from tidewheel._model.state import WAITING_STATES, JobState
from tidewheel._model.transition import rescue_of_job
from tidewheel._model.worker import WorkerRow

Code: TypeAlias = Literal[
    "ended",
    "running",
    "rescue_due",
    "due",
    "retry",
    "limit_full",
    "limit_rate",
    "limit_held",
    "limit_paused",
    "limit_undeclared",
    "queue_paused",
    "no_worker",
    "unknown_task",
    "last_life",
    "behind",
    "busy",
    "let_in",
    "next",
]

SILENT: Final = 90 * SECOND
"""A worker that was not heard of for so long does not count as alive: three times the default lease, after which a sweep
forgets it, too.
"""
HOLDERS: Final = 100
"""An answer names at most so many jobs."""
_NAMED: Final = 3
"""Its text so many."""
_LONGEST_ERROR: Final = 200
_START: Final = "Start one: tidewheel worker APP"


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job does not run now, or how it does."""

    code: Code
    """The reason in one word, for programs:

    * `ended`, `running`; `rescue_due`: its lease is over, the next sweep takes it away from its worker
    * `due`: it waits for its time; `retry`: for the time of its next attempt
    * `limit_full`: all slots of a limit are taken; `limit_rate`: a rate has no start left; `limit_held`: a handler
      asked everybody to wait; `limit_paused`: somebody paused it; `limit_undeclared`: no code says what it is
    * `queue_paused`; `no_worker`: none lives that works on the queue; `unknown_task`: none of those knows the task
    * `last_life`: it runs alone among its like, and another one runs; `behind`: there are jobs before it; `busy`: there
      are none, but the workers' slots are all in use
    * `let_in`: its limit lets it in, `next`: it is the first in its line: the next claim of a worker with a free slot
      takes it
    """
    text: str
    """The same in a sentence or two, with names, numbers and times (UTC)."""
    until: int | None = None
    """When that is over by the clock alone, in microseconds since 1970; None when it takes an event."""
    holders: tuple[str, ...] = ()
    """Ids of the jobs that are in the way, at most 100: those that hold the slots of a limit or of the workers, or stand
    before it in the line.
    """


class GateFact(msgspec.Struct, frozen=True):
    """A gate the job must pass, as it stands now."""

    one: Pass
    row: GateRow
    paused_by: str = ""
    """The limit, or the gate, whose rule says that it is paused."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job and of what may be in its way. What cannot matter may be missing."""

    job: Job
    now: int
    """The store's clock."""
    gates: tuple[GateFact, ...] = ()
    """The one that parked it first, then the others in the order of its flow."""
    queue_paused: bool = False
    workers: tuple[WorkerRow, ...] = ()
    """All that the store knows, by start time."""
    running: tuple[Job, ...] = ()
    """Jobs that run, newest enqueued first."""
    all_running: bool = True
    """There are no others."""
    ahead: tuple[str, ...] = ()
    """Ids of the jobs before it, those first that are taken first."""
    more_ahead: bool = False
    """The line has jobs that were not looked at."""

    @property
    def live(self) -> tuple[WorkerRow, ...]:
        """The workers that were heard of lately."""
        return tuple(one for one in self.workers if one.seen_at > self.now - SILENT)

    @property
    def able(self) -> tuple[WorkerRow, ...]:
        """Those of them that could take the job."""
        job = self.job
        return tuple(one for one in self.live if job.queue in one.info.queues and job.kind in one.info.kinds)


def why(facts: Facts) -> Why:
    """The first reason that applies."""
    job = facts.job
    if job.state.final:
        return _ended(facts)
    if job.state is JobState.RUNNING:
        return _running(facts)
    if job.state in WAITING_STATES:
        return _waiting(facts)
    shut = next((one for one in facts.gates if refuses(one)), None)
    if shut is not None and job.state is JobState.PARKED:
        return _limited(facts, shut)
    if facts.queue_paused:
        return Why(
            code="queue_paused",
            text=f"The queue {job.queue!r} is paused. To go on: tidewheel queues resume {job.queue}",
        )
    if not facts.able:
        return _nobody(facts)
    return _limited(facts, shut) if shut is not None else _in_line(facts)


def refuses(fact: GateFact) -> Code | None:
    """Why the gate lets the job not start now; None when it does."""
    row, rule = fact.row, fact.row.rule
    if rule is None:
        return "limit_undeclared"
    if rule.paused:
        return "limit_paused"
    if rule.slots is not None and row.used >= rule.slots:
        return "limit_full"
    if row.shut_until is not None:
        return "limit_held"
    if rule.count is None or (rule.slots is not None and row.room >= rule.slots - row.used):
        return None
    return "limit_rate" if row.room < min(_cost(fact, rule), ROOM_MOST) else None


def suspect(job: Job) -> bool:
    """Whether the job is, or waits to be, in what may be its last life."""
    attempt = job.attempt - 1 if job.state is JobState.RUNNING else job.attempt
    return on_last_life(job.crashes, job.max_crashes, attempt, job.max_attempts)


# -- the answers


def _ended(facts: Facts) -> Why:
    job = facts.job
    when = _moment(job.finished_at, facts.now)
    if job.state is JobState.COMPLETED:
        text = f"It completed {when}, in attempt {job.attempt} of {job.max_attempts}."
    elif job.state is JobState.CANCELLED:
        text = f"It was cancelled {when}. To run it after all: tidewheel jobs retry {job.id}"
    else:
        text = (
            f"It was given up {when}, after attempt {job.attempt} of {job.max_attempts}: {_error(job)}. "
            f"To run it again: tidewheel deadletters requeue {job.id}"
        )
    return Why(code="ended", text=text)


def _running(facts: Facts) -> Why:
    job, now = facts.job, facts.now
    until = job.lease_until or now
    if until <= now:
        text = f"Its worker {job.worker} did not extend its lease, which ended {_moment(until, now)}. "
        text += f"The next sweep takes the job away from it, and {_rescued(job)}."
        return Why(code="rescue_due", text=text + _nobody_sweeps(facts), until=until)
    worker = next((one.info for one in facts.workers if one.info.id == job.worker), None)
    where = f" (process {worker.pid} on {worker.host})" if worker else ""
    text = (
        f"It is running: attempt {job.attempt} of {job.max_attempts} started {_moment(job.started_at, now)} in the "
        f"worker {job.worker}{where}. Its lease ends {_moment(until, now)}, unless the worker extends it."
    )
    if job.cancel_requested:
        text += " It was asked to cancel."
    return Why(code="running", text=text, until=until)


def _waiting(facts: Facts) -> Why:
    job, now = facts.job, facts.now
    if job.run_at <= now and not facts.live:
        return Why(code="no_worker", text=f"It was due {_moment(job.run_at, now)}." + _nobody_sweeps(facts))
    late = " The next sweep of a worker puts it into the line." if job.run_at <= now else ""
    is_due = f"{'is' if job.run_at > now else 'was'} due {_moment(job.run_at, now)}.{late}"
    if job.state is JobState.RETRYABLE:
        text = f"Attempt {job.attempt} of {job.max_attempts} failed with {_error(job)}. The next one {is_due}"
        return Why(code="retry", text=text, until=job.run_at)
    return Why(code="due", text=f"It {is_due}", until=job.run_at)


def _limited(facts: Facts, fact: GateFact) -> Why:
    row, rule, code = fact.row, fact.row.rule, refuses(fact)
    name = _gate(row)
    if code == "limit_undeclared" or rule is None:
        text = f"The limit {row.limit!r} is not declared in this store. Start a worker whose tasks have it."
        return Why(code="limit_undeclared", text=text)
    if code == "limit_paused":
        what = f"limit {row.limit!r}" if fact.paused_by == row.limit else name
        key = "" if fact.paused_by == row.limit else f" --key {row.key.partition(':')[2]!r}"
        text = f"The {what} is paused. To go on: tidewheel limits resume {row.limit}{key}"
        return Why(code="limit_paused", text=text)
    if code == "limit_full":
        return _full(facts, row, rule)
    if code == "limit_held":
        text = f"The {name} is held shut for everybody: a handler asked for that. It opens "
        return Why(code="limit_held", text=f"{text}{_moment(row.shut_until, facts.now)}.", until=row.shut_until)
    return _spent(facts, fact, rule)


def _full(facts: Facts, row: GateRow, rule: Rule) -> Why:
    holders = tuple(one.id for one in facts.running if any(gate.holds and gate.key == row.key for gate in one.passes))[
        :HOLDERS
    ]
    by = f", by {_some(holders, row.used)}" if holders else ""
    text = f"The {_gate(row)} is full: {row.used:,} of {rule.slots:,} slots are in use{by}."
    return Why(code="limit_full", text=text, holders=holders)


def _spent(facts: Facts, fact: GateFact, rule: Rule) -> Why:
    """A rate has less than the job costs. The store says when it has 1; for more that is only the earliest time."""
    row, now, cost, per = fact.row, facts.now, _cost(fact, rule), rule.per or 0
    until = row.opens_at
    if rule.algorithm == "fixed" and per and until is None:
        until = now - now % per + per
    exact = cost == 1 or rule.algorithm == "fixed"
    left = f"of {rule.count:,} per {human(per)} {row.room:,} {'is' if row.room == 1 else 'are'} left"
    needs = "" if cost == 1 else f", and this job needs {cost:,}"
    opens = "" if until is None else f" It opens {'' if exact else 'not before '}{_moment(until, now)}."
    text = f"The {_gate(row)} has no more to give now: {left}{needs}.{opens}"
    return Why(code="limit_rate", text=text, until=until if exact else None)


def _nobody(facts: Facts) -> Why:
    job, live = facts.job, facts.live
    start = f"Start one that does: tidewheel worker APP --queue {job.queue}"
    if not live:
        return Why(code="no_worker", text=f"No worker lives.{_last_heard(facts)} {_START}")
    here = [one for one in live if job.queue in one.info.queues]
    if not here:
        lives = _listed([f"{_worker(one)} works on {_listed(one.info.queues)}" for one in live], "; ")
        text = f"No live worker works on the queue {job.queue!r}: {lives}. {start}"
        return Why(code="no_worker", text=text)
    knows = _listed([f"{_worker(one)} knows {_listed(one.info.kinds) or 'none'}" for one in here], "; ")
    text = (
        f"No live worker on the queue {job.queue!r} knows the task {job.kind!r}: {knows}. "
        "Start one whose app has that task."
    )
    return Why(code="unknown_task", text=text)


def _in_line(facts: Facts) -> Why:
    job = facts.job
    able = {one.info.id for one in facts.able}
    if suspect(job):
        alone = {one.worker: one.id for one in facts.running if one.worker in able and suspect(one)}
        if alone.keys() == able:
            holders = tuple(sorted(alone.values()))[:HOLDERS]
            text = (
                "One more lost worker would end it for good, and of such jobs a worker runs one at a time: it waits for "
                f"{_some(holders, len(alone))}."
            )
            return Why(code="last_life", text=text, holders=holders)
    slots = sum(one.info.concurrency for one in facts.able)
    inside = tuple(one.id for one in facts.running if one.worker in able)
    used = len(inside) if facts.all_running else sum(one.info.running for one in facts.able)
    use = f"{used:,} of {slots:,} slots of {_count(len(able), 'worker')} are in use."
    if facts.ahead:
        number = f"{'at least ' if facts.more_ahead else ''}{_count(len(facts.ahead), 'job')}"
        named = _some(facts.ahead, len(facts.ahead))
        text = f"It is behind {number} in its line (priority {job.priority}): {named}. {use}"
        return Why(code="behind", text=text, holders=facts.ahead[:HOLDERS])
    first = "is before all jobs of its line that were looked at" if facts.more_ahead else "is the first in its line"
    if used >= slots:
        return Why(
            code="busy",
            text=f"It {first}, and gets the next free slot: {use}",
            holders=inside[:HOLDERS],
        )
    takes = f"The next claim of a worker with a free slot for it takes it: {use}"
    if job.parked_by is None:
        return Why(code="next", text=f"It {first}. {takes}")
    sweep = " The next sweep puts it back into the line." if job.state is JobState.PARKED else ""
    return Why(code="let_in", text=f"The limit that stopped it ({job.parked_by}) lets it in.{sweep} {takes}")


# -- words


def _nobody_sweeps(facts: Facts) -> str:
    return "" if facts.live else f" But no worker lives that could do it.{_last_heard(facts)} {_START}"


def _rescued(job: Job) -> str:
    """What a rescue will make of it."""
    ending = rescue_of_job(job)
    if ending.state is JobState.AVAILABLE:
        return "it runs again"
    return "ends it, as it was asked to" if ending.error is None else f"gives it up ({ending.error.type})"


def _last_heard(facts: Facts) -> str:
    if not facts.workers:
        return ""
    last = max(facts.workers, key=lambda one: one.seen_at)
    return f" The last one heard of was {_worker(last)}, {_moment(last.seen_at, facts.now)}."


def _worker(row: WorkerRow) -> str:
    return f"{row.info.id} (process {row.info.pid} on {row.info.host})"


def _gate(row: GateRow) -> str:
    value = row.key.partition(":")[2]
    return f"limit {row.limit!r} (key {value!r})" if value else f"limit {row.limit!r}"


def _cost(fact: GateFact, rule: Rule) -> int:
    return max(1, min(fact.one.cost, capacity(rule)))


def _error(job: Job) -> str:
    if job.error is None:
        return "no error that was kept"
    flat = " ".join(f"{job.error.type}: {job.error.message}".split())
    return flat.rstrip(".") if len(flat) <= _LONGEST_ERROR else flat[: _LONGEST_ERROR - 1] + "…"


def _some(ids: Sequence[str], number: int) -> str:
    """The first of them, and how many more there are."""
    named = ids[:_NAMED]
    return ", ".join(named) + (f" and {number - len(named):,} more" if number > len(named) else "")


def _listed(words: Sequence[str], between: str = ", ") -> str:
    return between.join(words[:_NAMED]) + (f" and {len(words) - _NAMED} more" if len(words) > _NAMED else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def _moment(at: int | None, now: int) -> str:
    """`3s ago (2026-01-31 09:00:00 UTC)`, `in 5m (...)`."""
    if at is None:
        return "at a time nobody wrote down"
    away = abs(at - now) // SECOND * SECOND
    seen = "now" if away == 0 else f"in {human(away)}" if at > now else f"{human(away)} ago"
    try:
        return f"{seen} ({datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    except (ValueError, OverflowError, OSError):
        return seen  # a time that nobody meant is still answered
