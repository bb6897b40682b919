"""Who may pass: one walk along a line of jobs, and what a gate lets back into the line.

Every store does the same, with its gates locked:

* claim: `walk` each piece of line, in the order of the wants; in a want first the jobs on their last life, until one of
  the call is taken, then the others, until its slots are filled. Write what was parked and taken.
* settle, rescue: `freed` for what the attempts held, `shut` for what they hold shut; those gates are the touched ones.
* sweep: the gates whose `opens_at` has come are the touched ones.

Then, once, at the end of the call, for every touched gate in the order of their keys: `look`. Where it says so, release:
for each (queue, kind) that has jobs parked under the gate, the first of them in the order of the line, until so many of
that queue and kind are available and marked with the gate (those that were before count, too). If nothing is parked
under that gate any more, `emptied`; a gate that released nothing is not asked. Then the gates are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tidewheel._model.errors import StoreError
from tidewheel._model.flow import Flow
from tidewheel._model.gate import Gate, freed, room, shut, taken
from tidewheel._model.limit import Allowance, GateRow, Hit, Rule


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A job in its line."""

    handle: int
    """By which the store knows it."""
    flow: Flow | None
    """None for a job without limits. One whose flow cannot be read is no candidate: the store sets it aside."""
    parked_by: str | None = None
    """The gate that let it into the line again."""


class Walk(msgspec.Struct):
    """What a walk came to."""

    take: list[int]
    """Handles of the jobs that start, in the order of the line. As many as asked for: the line was not walked on."""
    park: list[tuple[int, str]]
    """Handles of the jobs that may not, with the gate that each is parked under from now on."""
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
    result = Walk([], [], set())
    for job in candidates:
        if len(result.take) >= slots:
            break
        passes = job.flow.passes if job.flow else ()
        keys = [one.key for one in passes]
        if job.parked_by is not None:
            result.touched.add(job.parked_by)
            gates.setdefault(job.parked_by, Gate())
        for key, one in zip(keys, passes, strict=True):
            result.touched.add(key)
            gate = gates.setdefault(key, Gate())
            if room(rules.get(key), gate, now, one.cost).free < 1:
                gate.waiting, gate.needs = True, one.cost
                result.park.append((job.handle, key))
                break
        else:
            for key, one in zip(keys, passes, strict=True):
                if rule := rules.get(key):
                    taken(rule, gates[key], now, one.cost, holds=one.holds)
                if key == job.parked_by:
                    gates[key].needs = one.cost
            result.take.append(job.handle)
    return result


def give_back(
    flow: Flow, gates: dict[str, Gate], *, hold: Iterable[str] = (), until: int = 0, held: bool = True
) -> set[str]:
    """The end of an attempt: frees its slots, and shuts the gates of the limits in `hold` until then. Gives the touched
    gates. `held=False`: a statement has freed the slots already.
    """
    touched = set()
    limits = frozenset(hold)
    for one in flow.passes:
        if one.holds and held:
            freed(gates.setdefault(one.key, Gate()))
            touched.add(one.key)
        if one.limit in limits:
            shut(gates.setdefault(one.key, Gate()), until)
            touched.add(one.key)
    return touched


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
    return Allowance(allowed=free > 0, remaining=room(rule, gate, now).free, retry_at=at)


def gate_row(key: str, rule: Rule | None, gate: Gate, now: int) -> GateRow:
    """A gate as people see it. Like `room` it may mend the gate's `level`."""
    free, at = room(rule, gate, now)
    return GateRow(
        key=key,
        limit=limit_of(key),
        rule=rule,
        used=gate.used,
        waiting=gate.waiting,
        room=free,
        opens_at=at,
        shut_until=gate.shut_until if gate.shut_until > now else None,
    )


def limit_of(key: str) -> str:
    """The limit whose gate it is."""
    return key.partition(":")[0]
