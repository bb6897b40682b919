"""Who may pass: one walk along a line of jobs, and what a gate lets back into the line.

Every store does the same, with its gates locked:

* claim: `walk` each piece of line, in the order of the wants; in a want first the jobs on their last life, until one of
  the call is taken, then the others, until its slots are filled. Write what was parked and taken.
* settle, rescue: `give_back`; the gates it says are the touched ones.
* whatever else ends a job that waits, or changes what it must pass: `leave`, for the gate of `Flow.ordered`.
* sweep: the gates whose `opens_at` has come are the touched ones.

Then, once, at the end of the call, for every touched gate in the order of their keys: `look`. Where it says so, release:
for each (queue, kind) that has jobs parked under the gate, the first of them in the order of the line, until so many of
that queue and kind are available and marked with the gate (those that were before count, too). If nothing is parked
under that gate any more, `emptied`; a gate that released nothing is not asked. Then the gates are written.

A gate with an order lets one job in at a time, its `holder`. That has the place from the moment when it passed the gate,
also if the next one refuses it, and is not asked there again. While others wait, only those may pass whom the gate let
into the line itself: so nobody overtakes who came later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from tidewheel._model.errors import StoreError
from tidewheel._model.flow import EXPIRED, NO_GATES, Flow, Pass
from tidewheel._model.gate import Gate, failed, freed, room, shut, succeeded, taken, whole_at
from tidewheel._model.limit import Allowance, GateRow, Hit, Rule
from tidewheel._model.outcome import Complete, Discarded, Outcome, RetryLater

Ended: TypeAlias = Literal["", "done", "failed"]
"""How an attempt ended, for a breaker: completed; with a failure (a retry, a discard, a rescue); neither of the two. Of those
that end in one call the failures are told first.
"""


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A job in its line."""

    handle: int
    """By which the store knows it."""
    flow: Flow | None
    """None for a job without limits. One whose flow cannot be read is no candidate: the store sets it aside."""
    parked_by: str | None = None
    """The gate that let it into the line again."""
    expires_at: int | None = None
    """No attempt starts after that."""
    behind: bool = False
    """A job of its line, its kind and its gate with an order comes before it, and another claim has that in hand, or it is
    parked. Said where claims do not wait for one another.
    """


class Walk(msgspec.Struct):
    """What a walk came to."""

    take: list[int]
    """Handles of the jobs that start, in the order of the line. As many as asked for: the line was not walked on."""
    park: list[tuple[int, str]]
    """Handles of the jobs that may not, with the gate that each is parked under from now on, or `EXPIRED`, which is none."""
    touched: set[str]
    """Gates that were asked, or had let in a job that was: to look at, and to write, at the end of the call. All of them
    are in `gates` now. (A new one that is blank after the look, `gate == Gate()`, nobody passed: it is not written.)
    """


def walk(
    candidates: Sequence[Candidate], gates: dict[str, Gate], rules: Mapping[str, Rule | None], slots: int, now: int
) -> Walk:
    """Walk along a line until so many slots are filled. May be called again for the next piece of the line, with the
    slots that are left and the same `gates`.

    `gates` and `rules` go by the keys of gates. A gate that is missing is a new one, a rule that is missing or None
    a limit that nobody declared. The gates are changed, and new ones added.
    """
    walker = _Walker(gates, rules, slots, now, Walk([], [], set()))
    # Neighbours of one flow are asked for together. (Stores read a flow that several have as one object.)
    for (_, expired), some in groupby(candidates, lambda job: (id(job.flow), _expired(job, now))):
        if walker.missing <= 0:
            break
        (walker.pass_by if expired else walker.meet)(list(some))
    return walker.result


def _expired(job: Candidate, now: int) -> bool:
    return job.expires_at is not None and job.expires_at <= now


class _Walker(msgspec.Struct):
    """A walk under way."""

    gates: dict[str, Gate]
    rules: Mapping[str, Rule | None]
    slots: int
    now: int
    result: Walk

    @property
    def missing(self) -> int:
        """The slots that are not filled."""
        return self.slots - len(self.result.take)

    def pass_by(self, jobs: list[Candidate]) -> None:
        """Their time is over."""
        self._park(jobs, EXPIRED)

    def meet(self, jobs: list[Candidate]) -> None:
        """Jobs that must pass the same."""
        flow = jobs[0].flow
        if flow is None or (turn := flow.ordered) is None:
            self._ask(jobs, flow.passes if flow else ())
            return
        for job in jobs:
            if self.missing > 0 and self._has_turn(job, turn):
                self._ask([job], flow.passes[1:])

    def _gate(self, key: str) -> Gate:
        self.result.touched.add(key)
        if (gate := self.gates.get(key)) is None:
            gate = self.gates[key] = Gate()
        return gate

    def _came_by(self, jobs: Iterable[Candidate]) -> set[str]:
        """The gates that let them into the line, which are to be looked at."""
        found = {job.parked_by for job in jobs if job.parked_by is not None} - NO_GATES
        for key in found:
            self._gate(key)
        return found

    def _park(self, jobs: list[Candidate], key: str) -> None:
        self._came_by(jobs)
        self.result.park += [(job.handle, key) for job in jobs]

    def _has_turn(self, job: Candidate, turn: Pass) -> bool:
        """Whether it has the place at its gate with an order, from now on at the latest; parks it if not."""
        gate, rule = self._gate(turn.key), self.rules.get(turn.key)
        if gate.holder == job.handle:
            return True
        let_in = job.parked_by == turn.key
        others = job.behind or (gate.waiting and not let_in)
        if rule is None or others or room(rule, gate, self.now, turn.cost).free < 1:
            gate.waiting, gate.needs = True, turn.cost
            self._park([job], turn.key)
            return False
        taken(rule, gate, self.now, turn.cost, holds=False)
        gate.holder = job.handle
        if let_in:
            gate.needs = turn.cost
        return True

    def _ask(self, jobs: list[Candidate], passes: Sequence[Pass]) -> None:
        """As many as there is room for at once."""
        way = [(one.key, one) for one in passes]
        while jobs and (free := self.missing) > 0:
            for key, one in way:
                gate = self._gate(key)
                free = min(free, room(self.rules.get(key), gate, self.now, one.cost).free)
                if free < 1:
                    gate.waiting, gate.needs = True, one.cost
                    self._park(jobs, key)
                    return
            some, jobs = jobs[:free], jobs[free:]
            came_by = self._came_by(some)
            for key, one in way:
                if rule := self.rules.get(key):
                    taken(rule, self.gates[key], self.now, one.cost, holds=one.holds, times=len(some))
                if key in came_by:
                    self.gates[key].needs = one.cost
            self.result.take += [job.handle for job in some]


def give_back(
    flow: Flow,
    gates: dict[str, Gate],
    *,
    job: int | None = None,
    final: bool = True,
    hold: Iterable[str] = (),
    until: int = 0,
    held: bool = True,
    ended: Ended = "",
    rules: Mapping[str, Rule | None] = MappingProxyType({}),
    now: int = 0,
) -> set[str]:
    """The end of an attempt: frees its slots, and shuts the gates of the limits in `hold` until then. Gives the touched
    gates. `held=False`: a statement has freed the slots already. `job` is its handle; a gate with an order that lets
    nobody pass a job gets its place back only if the job is `final`.
    """
    touched = set()
    limits = frozenset(hold)
    for one in flow.passes if ended else ():
        if one.trips:
            gate = gates.setdefault(one.key, Gate())
            failed(rules.get(one.key), gate, now) if ended == "failed" else succeeded(gate, now)
            touched.add(one.key)
    turn = flow.ordered
    if turn is not None and (final or turn.order == "skip") and leave(gates.setdefault(turn.key, Gate()), job):
        touched.add(turn.key)
    for one in flow.passes:
        if one.holds and held:
            freed(gates.setdefault(one.key, Gate()))
            touched.add(one.key)
        if one.limit in limits:
            shut(gates.setdefault(one.key, Gate()), until)
            touched.add(one.key)
    return touched


def ended_by(outcome: Outcome | None) -> Ended:
    """How an attempt with this outcome ended; None: its worker was lost."""
    if isinstance(outcome, Complete):
        return "done"
    return "failed" if outcome is None or isinstance(outcome, RetryLater | Discarded) else ""


def leave(gate: Gate, job: int | None) -> bool:
    """A job gives up the place at a gate with an order; says whether it had it."""
    had = job is not None and gate.holder == job
    if had:
        gate.holder = None
    return had


def look(rule: Rule | None, gate: Gate, now: int) -> int:
    """How many jobs a touched gate lets back into the line; 0 when none waits or it is shut. Sets when the sweep looks
    at it again: never, when it is open or only an event opens it.
    """
    if not gate.waiting:
        gate.opens_at = None
        return 0
    free, gate.opens_at = room(rule, gate, now, gate.needs)
    return free


def emptied(gate: Gate) -> None:
    """Nothing is parked under it any more: seen after the release, with the gate locked since before the look."""
    gate.waiting, gate.needs, gate.opens_at = False, 1, None


def rate_of(hit: Hit, rule: Rule | None) -> Rule:
    """The rule of a limit that may be hit by hand.

    Raises:
        StoreError: it has none, or is not one of rates only.
    """
    if rule is None:
        raise StoreError(
            f"The limit {hit.limit!r} is not declared in this store. Start a worker or an app that has it."
        )
    if rule.slots is not None or rule.count is None:
        raise StoreError(
            f"The limit {hit.limit!r} is no rate, so it cannot be hit by hand: "
            "nobody would know when to give a slot back. Hit a limit that has a count and no slots."
        )
    return rule


def start_by_hand(rule: Rule, gate: Gate, cost: int, now: int) -> Allowance:
    """Take one start of this cost, if there is room for it."""
    free, at = room(rule, gate, now, cost)
    if free:
        taken(rule, gate, now, cost, holds=False)
    whole = whole_at(rule, gate)
    return Allowance(
        allowed=free > 0,
        remaining=room(rule, gate, now).free,
        retry_at=at,
        reset_at=whole if whole > now else None,
    )


def gate_row(key: str, rule: Rule | None, gate: Gate, now: int, holder: str | None = None) -> GateRow:
    """A gate as people see it. Like `room` it may mend the gate's `level`. `holder`: the id of `gate.holder`."""
    free, at = room(rule, gate, now)
    return GateRow(
        key=key,
        limit=limit_of(key),
        rule=rule,
        used=gate.used + (gate.holder is not None),
        waiting=gate.waiting,
        room=free,
        opens_at=at,
        shut_until=gate.shut_until if gate.shut_until > now else None,
        holder=holder,
    )


def limit_of(key: str) -> str:
    """The limit whose gate it is."""
    return key.partition(":")[0]
