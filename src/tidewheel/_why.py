"""Why a job does not run, or that it does: one answer, the first that applies. Facts in, a `Why` out; no I/O.

1. it has ended, or it runs
2. its time to start is over
3. it waits for other jobs
4. its time has not come
5. the gate that parked it is shut
6. its queue or its task is paused, or no live worker could take it
7. a gate that the next claim will ask is shut
8. there are jobs before it, or it is its turn
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tidewheel._evidence import HOLDERS, Facts, GateFact, suspect
from tidewheel._model.duration import human
from tidewheel._model.flow import CHILDREN, EXPIRED
from tidewheel._model.graph import CHILD_FAILED
from tidewheel._model.limit import ROOM_MOST, GateRow, Rule
from tidewheel._model.state import WAITING_STATES, JobState
from tidewheel._phrases import (
    NAMED,
    START,
    cost_at,
    counted,
    error_line,
    fate,
    gate_name,
    last_heard,
    listed,
    moment,
    nobody_sweeps,
    some,
    worker_name,
)

Code: TypeAlias = Literal[
    "ended",
    "running",
    "rescue_due",
    "expired",
    "children",
    "due",
    "retry",
    "order",
    "limit_full",
    "limit_rate",
    "limit_held",
    "breaker",
    "limit_paused",
    "limit_undeclared",
    "queue_paused",
    "task_paused",
    "no_worker",
    "unknown_task",
    "last_life",
    "behind",
    "busy",
    "let_in",
    "next",
]


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job does not run now, or how it does."""

    code: Code
    """The reason in one word, for programs:

    * `ended`, `running`; `rescue_due`: its lease is over, the next sweep takes it away from its worker
    * `expired`: it may not start any more, the next sweep ends it; `children`: it waits for other jobs to end
    * `due`: it waits for its time; `retry`: for the time of its next attempt
    * `order`: the jobs of its key start one by one, and it is another one's turn
    * `limit_full`: all slots of a limit are taken; `limit_rate`: a rate has no start left; `limit_held`: a handler
      asked everybody to wait; `breaker`: too many failures, or one that tries whether it works again; `limit_paused`: somebody paused it; `limit_undeclared`: no code says what it is
    * `queue_paused`, `task_paused`; `no_worker`: none lives that works on the queue; `unknown_task`: none of those knows the task
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
    """Ids of the jobs that are in the way, at most 100: those it waits for, that hold the slots of a limit or of the
    workers, or stand before it in the line.
    """


def why(facts: Facts) -> Why:
    """The first reason that applies."""
    job = facts.job
    if job.state.final:
        return _ended(facts)
    if job.state is JobState.RUNNING:
        return _running(facts)
    if job.expires_at is None:
        return _held_up(facts)
    if job.expires_at <= facts.now or job.parked_by == EXPIRED:
        return _expired(facts)
    answer = _held_up(facts)
    text = f"{answer.text} It expires {moment(job.expires_at, facts.now)} if it has not started."
    return msgspec.structs.replace(answer, text=text)


def _held_up(facts: Facts) -> Why:
    """Why a job that waits and may still start has not."""
    job = facts.job
    if job.parked_by == CHILDREN:
        return _behind_children(facts)
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
    if facts.task_paused:
        return Why(
            code="task_paused", text=f"The task {job.kind!r} is paused. To go on: tidewheel tasks resume {job.kind}"
        )
    if not facts.able:
        return _nobody(facts)
    return _limited(facts, shut) if shut is not None else _in_line(facts)


def refuses(fact: GateFact) -> Code | None:
    """Why the gate lets the job not start now; None when it does."""
    row, rule = fact.row, fact.row.rule
    if fact.mine:
        return None
    if rule is None:
        return "limit_undeclared"
    if rule.paused:
        return "limit_paused"
    if row.holder is not None:
        return "order"
    if rule.slots is not None and row.used >= rule.slots:
        return "limit_full"
    if rule.failures:
        return "breaker" if row.room < 1 else None
    if row.shut_until is not None:
        return "limit_held"
    if rule.count is None or (rule.slots is not None and row.room >= rule.slots - row.used):
        return None
    return "limit_rate" if row.room < min(cost_at(fact, rule), ROOM_MOST) else None


# -- the answers


def _ended(facts: Facts) -> Why:
    job = facts.job
    when = moment(job.finished_at, facts.now)
    if job.state is JobState.COMPLETED:
        text = f"It completed {when}, in attempt {job.attempt} of {job.max_attempts}."
    elif job.state is JobState.CANCELLED:
        by_rule = job.error is not None and job.error.type.startswith("tidewheel.")
        reason = f" ({error_line(job)})" if by_rule else ""
        text = f"It was cancelled {when}{reason}. To run it after all: tidewheel jobs retry {job.id}"
    elif job.error is not None and job.error.type == CHILD_FAILED:
        text = (
            f"It was given up {when}, before it started: {error_line(job)}. "
            f"To run it again with its children: tidewheel jobs retry --graph {job.id}"
        )
    else:
        text = (
            f"It was given up {when}, after attempt {job.attempt} of {job.max_attempts}: {error_line(job)}. "
            f"To run it again: tidewheel deadletters requeue {job.id}"
        )
    return Why(code="ended", text=text)


def _expired(facts: Facts) -> Why:
    over = moment(facts.job.expires_at, facts.now)
    text = f"It had not started when its time was over, {over}: the next sweep cancels it."
    return Why(code="expired", text=text + nobody_sweeps(facts))


def _behind_children(facts: Facts) -> Why:
    waits = [one.child for one in facts.children if one.state is None]
    states = facts.states
    named = [f"{one} ({states[one].value})" if one in states else one for one in waits[:NAMED]]
    more = f" and {len(waits) - NAMED:,} more" if len(waits) > NAMED else ""
    few = f"{len(waits):,} of " if len(waits) < len(facts.children) else ""
    many = "child" if len(facts.children) == 1 else f"{len(facts.children):,} children"
    text = f"It waits for {few}its {many}: {', '.join(named)}{more}."
    if waits:
        text += f" More of the first: tidewheel why {waits[0]}"
    return Why(code="children", text=text, holders=tuple(waits[:HOLDERS]))


def _running(facts: Facts) -> Why:
    job, now = facts.job, facts.now
    until = job.lease_until or now
    if until <= now:
        text = f"Its worker {job.worker} did not extend its lease, which ended {moment(until, now)}. "
        text += f"The next sweep takes the job away from it, and {fate(job)}."
        return Why(code="rescue_due", text=text + nobody_sweeps(facts), until=until)
    worker = next((one.info for one in facts.workers if one.info.id == job.worker), None)
    where = f" (process {worker.pid} on {worker.host})" if worker else ""
    text = (
        f"It is running: attempt {job.attempt} of {job.max_attempts} started {moment(job.started_at, now)} in the "
        f"worker {job.worker}{where}. Its lease ends {moment(until, now)}, unless the worker extends it."
    )
    if job.cancel_requested:
        text += " It was asked to cancel."
    return Why(code="running", text=text, until=until)


def _waiting(facts: Facts) -> Why:
    job, now = facts.job, facts.now
    if job.run_at <= now and not facts.live:
        return Why(code="no_worker", text=f"It was due {moment(job.run_at, now)}." + nobody_sweeps(facts))
    late = " The next sweep of a worker puts it into the line." if job.run_at <= now else ""
    is_due = f"{'is' if job.run_at > now else 'was'} due {moment(job.run_at, now)}.{late}"
    if job.state is JobState.RETRYABLE:
        text = f"Attempt {job.attempt} of {job.max_attempts} failed with {error_line(job)}. The next one {is_due}"
        return Why(code="retry", text=text, until=job.run_at)
    return Why(code="due", text=f"It {is_due}", until=job.run_at)


def _limited(facts: Facts, fact: GateFact) -> Why:
    row, rule, code = fact.row, fact.row.rule, refuses(fact)
    name = gate_name(row)
    if code == "limit_undeclared" or rule is None:
        text = f"The limit {row.limit!r} is not declared in this store. Start a worker whose tasks have it."
        return Why(code="limit_undeclared", text=text)
    if code == "limit_paused":
        what = f"limit {row.limit!r}" if fact.paused_by == row.limit else name
        key = "" if fact.paused_by == row.limit else f" --key {row.key.partition(':')[2]!r}"
        text = f"The {what} is paused. To go on: tidewheel limits resume {row.limit}{key}"
        return Why(code="limit_paused", text=text)
    if code == "order" and row.holder is not None:
        return _not_its_turn(facts, fact, row.holder)
    if code == "limit_full":
        return _full(facts, row, rule)
    if code == "limit_held":
        text = f"The {name} is held shut for everybody: a handler asked for that. It opens "
        return Why(code="limit_held", text=f"{text}{moment(row.shut_until, facts.now)}.", until=row.shut_until)
    if code == "breaker":
        return _broken(facts, row, rule)
    return _spent(facts, fact, rule)


def _broken(facts: Facts, row: GateRow, rule: Rule) -> Why:
    tries = f"{rule.probes or 1:,} at a time may try"
    if row.shut_until is not None:
        text = f"The {gate_name(row)} is shut, after failures or by a handler's word. It opens "
        return Why(
            code="breaker", text=f"{text}{moment(row.shut_until, facts.now)}: then {tries}.", until=row.shut_until
        )
    holders = tuple(one.id for one in facts.running if any(gate.key == row.key for gate in one.passes))[:HOLDERS]
    by = f": {some(holders, row.used)}" if holders else ""
    text = f"The {gate_name(row)} was shut after failures, and {tries}{by}. When one completes, all may pass."
    return Why(code="breaker", text=text, holders=holders)


def _not_its_turn(facts: Facts, fact: GateFact, holder: str) -> Why:
    state = f" ({facts.states[holder].value})" if holder in facts.states else ""
    until = "the end of its attempt" if fact.one.order == "skip" else "it has ended for good"
    text = f"The jobs of the {gate_name(fact.row)} start one by one in their order: it is the turn of {holder}{state}, until "
    return Why(code="order", text=f"{text}{until}. More of that one: tidewheel why {holder}", holders=(holder,))


def _full(facts: Facts, row: GateRow, rule: Rule) -> Why:
    holders = tuple(one.id for one in facts.running if any(gate.holds and gate.key == row.key for gate in one.passes))[
        :HOLDERS
    ]
    by = f", by {some(holders, row.used)}" if holders else ""
    text = f"The {gate_name(row)} is full: {row.used:,} of {rule.slots:,} slots are in use{by}."
    return Why(code="limit_full", text=text, holders=holders)


def _spent(facts: Facts, fact: GateFact, rule: Rule) -> Why:
    """A rate has less than the job costs. The store says when it has 1; for more that is only the earliest time."""
    row, now, cost, per = fact.row, facts.now, cost_at(fact, rule), rule.per or 0
    until = row.opens_at
    if rule.algorithm == "fixed" and per and until is None:
        until = now - now % per + per
    exact = cost == 1 or rule.algorithm == "fixed"
    left = f"of {rule.count:,} per {human(per)} {row.room:,} {'is' if row.room == 1 else 'are'} left"
    needs = "" if cost == 1 else f", and this job needs {cost:,}"
    opens = "" if until is None else f" It opens {'' if exact else 'not before '}{moment(until, now)}."
    text = f"The {gate_name(row)} has no more to give now: {left}{needs}.{opens}"
    return Why(code="limit_rate", text=text, until=until if exact else None)


def _nobody(facts: Facts) -> Why:
    job, live = facts.job, facts.live
    start = f"Start one that does: tidewheel worker APP --queue {job.queue}"
    if not live:
        return Why(code="no_worker", text=f"No worker lives.{last_heard(facts)} {START}")
    here = [one for one in live if job.queue in one.info.queues]
    if not here:
        lives = listed([f"{worker_name(one)} works on {listed(one.info.queues)}" for one in live], "; ")
        text = f"No live worker works on the queue {job.queue!r}: {lives}. {start}"
        return Why(code="no_worker", text=text)
    knows = listed([f"{worker_name(one)} knows {listed(one.info.kinds) or 'none'}" for one in here], "; ")
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
                f"{some(holders, len(alone))}."
            )
            return Why(code="last_life", text=text, holders=holders)
    slots = sum(one.info.concurrency for one in facts.able)
    inside = tuple(one.id for one in facts.running if one.worker in able)
    used = len(inside) if facts.all_running else sum(one.info.running for one in facts.able)
    use = f"{used:,} of {slots:,} slots of {counted(len(able), 'worker')} are in use."
    if facts.ahead:
        number = f"{'at least ' if facts.more_ahead else ''}{counted(len(facts.ahead), 'job')}"
        named = some(facts.ahead, len(facts.ahead))
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
