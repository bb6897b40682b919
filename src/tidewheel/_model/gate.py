"""The arithmetic of a gate: how many jobs may start, what a start takes, what an end gives back.

Functions of a rule, a gate and the store's clock, in whole numbers; they do no I/O and know no clock. `lua/gates.lua` has
the same, line by line.

A rate's clock never goes back: a start counts as no earlier than the one before it, so claims whose transactions began in
another order than they reach the gate break no window. Only when the clock is more than `per` behind what the gate
remembers did somebody set it back; then what it remembers counts as of now, and the gate is shut for `per` at most.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, NamedTuple

import msgspec

from tidewheel._model.limit import ROOM_MOST, SLIDING_MOST, Rule

_TRIAL: Final = -1


class Gate(msgspec.Struct, gc=False):
    """What a store remembers of one key of a limit."""

    used: int = 0
    """Attempts that hold a slot."""
    level: list[int] = []
    """What a rate remembers. sliding: the moments of its last starts, oldest first, one of cost n n times.
    bucket: [the moment when it is full again, the moment of the last start]. fixed: [start of the window, taken in it].
    A breaker: the moments of the last failures; one that was shut by them and is on trial: [-1].
    """
    shut_until: int = 0
    """Closed by a handler's word until then."""
    waiting: bool = False
    """Jobs are parked under it. May be true for nothing, never false when there are some."""
    needs: int = 1
    """Cost of the job that it refused, or let go from it, last: to open for less would not help the next one."""
    opens_at: int | None = None
    """When the sweep looks at it."""
    holder: int | None = None
    """By which the store knows the job that has the place at a gate with an order. Until it leaves, nobody else starts."""


class Room(NamedTuple):
    """How many jobs may start; when none may, when the next one may."""

    free: int
    """0 to `ROOM_MOST`."""
    at: int | None = None
    """When one may start, by the clock alone; always after now. None: there is room, or an event opens the gate."""


def room(rule: Rule | None, gate: Gate, now: int, cost: int = 1) -> Room:
    """How many jobs of this cost may start now. Without a rule none may: nobody declared the limit.

    A job that costs more than a rate ever has waits until all of it is there, and takes it all. Asking may change
    the gate's `level`, and nothing else: it mends what a clock that was set back or a changed rule left there.
    """
    if rule is None or rule.paused or gate.holder is not None:
        return Room(0)
    free = ROOM_MOST
    if rule.slots is not None:
        free = min(free, rule.slots - gate.used)
        if free < 1:
            return Room(0)
    if gate.shut_until > now:
        return Room(0, gate.shut_until)
    if rule.failures:
        return Room(_trial_room(rule, gate, now, free))
    if rule.count is None:
        return Room(free)
    most, per = capacity(rule), rule.per or 0
    if most < 1 or per < 1:
        return Room(0)
    cost = max(1, min(cost, most))
    _mend(rule, gate, now)
    if rule.algorithm == "bucket":
        left, at = _bucket(rule, gate, now, cost)
    elif rule.algorithm == "fixed":
        start, used = _window(gate, per, now)
        left, at = most - used, start + per
    else:
        past = bisect_right(gate.level, _moment(gate, now) - per)
        left = most - (len(gate.level) - past)
        at = 0 if left >= cost else gate.level[past + cost - left - 1] + per
    return Room(min(free, left // cost)) if left >= cost else Room(0, at)


def taken(rule: Rule, gate: Gate, now: int, cost: int, *, holds: bool, times: int = 1) -> None:
    """Let one start, or several alike. Only after `room` said so, at the same moment."""
    if holds:
        gate.used += times
    if rule.count is None or rule.failures:
        return
    cost, per = max(1, min(cost, capacity(rule))) * times, rule.per or 0
    if rule.algorithm == "bucket":
        now = _moment(gate, now)
        full_at = gate.level[0] if gate.level else 0
        gate.level = [max(full_at, now) + cost * _interval(rule), now]
    elif rule.algorithm == "fixed":
        start, used = _window(gate, per, now)
        gate.level = [start, used + cost]
    else:
        now = _moment(gate, now)
        gate.level = gate.level[bisect_right(gate.level, now - per) :] + [now] * cost


def freed(gate: Gate, times: int = 1) -> None:
    """Give one slot back, or several."""
    gate.used = max(0, gate.used - times)


def shut(gate: Gate, until: int) -> None:
    """Close it until then, or for longer when it is closed for longer."""
    gate.shut_until = max(gate.shut_until, until)


def failed(rule: Rule | None, gate: Gate, now: int) -> None:
    """An attempt has failed that passed a breaker. In one call failures are told before successes."""
    if rule is None or not rule.failures:
        return
    if not _on_trial(gate):
        since = now - (rule.within or 0)
        gate.level = [*(one for one in gate.level if since < one <= now), now]
        if len(gate.level) < rule.failures:
            return
    elif gate.shut_until > now:  # it began before
        return
    gate.level = [_TRIAL]
    shut(gate, now + (rule.open_for or 0))


def succeeded(gate: Gate, now: int) -> None:
    """An attempt has completed that passed a breaker: if it was on trial, everybody may pass again."""
    if _on_trial(gate) and gate.shut_until <= now:
        gate.level = []


def _on_trial(gate: Gate) -> bool:
    return bool(gate.level) and gate.level[0] < 0


def _trial_room(rule: Rule, gate: Gate, now: int, free: int) -> int:
    """Of a breaker that is not shut. One on trial that nobody has tried for `within` is as good as new."""
    if _on_trial(gate) and now >= gate.shut_until + (rule.within or 0):
        gate.level = []
    if _on_trial(gate):
        free = min(free, max(0, (rule.probes or 1) - gate.used))
    return free


def idle(rule: Rule | None, gate: Gate, now: int) -> bool:
    """Whether a store may forget it: a new gate would answer the same."""
    at = idle_at(rule, gate)
    return at is not None and at <= now


def idle_at(rule: Rule | None, gate: Gate) -> int | None:
    """From when on a store may forget it, if nothing happens before; None: not by the clock alone."""
    if gate.used > 0 or gate.waiting or gate.holder is not None:
        return None
    return whole_at(rule, gate)


def whole_at(rule: Rule | None, gate: Gate) -> int:
    """When it has forgotten all starts and failures, and nobody's word shuts it, if there are no more."""
    if rule is not None and rule.failures and gate.level:
        return max(gate.shut_until, gate.shut_until if _on_trial(gate) else gate.level[-1]) + (rule.within or 0)
    if rule is None or rule.count is None or not gate.level:
        return gate.shut_until
    if rule.algorithm == "bucket":
        return max(gate.shut_until, *gate.level)
    last = gate.level[0] if rule.algorithm == "fixed" else gate.level[-1]
    return max(gate.shut_until, last + (rule.per or 0))


def capacity(rule: Rule) -> int:
    """How much a rate has when nothing was taken from it."""
    count = rule.count or 0
    if rule.algorithm == "fixed" or count < 1:
        return count
    if rule.algorithm == "bucket":
        return count if rule.burst is None else rule.burst
    return min(count, SLIDING_MOST)


def _interval(rule: Rule) -> int:
    """Time from one start to the next in an empty bucket; rounded up, so it is never too fast."""
    return -(-(rule.per or 0) // max(1, rule.count or 0))


def _moment(gate: Gate, now: int) -> int:
    """Now, by a clock that does not go back. For what has the moment of the last start at the end of its level."""
    return max(now, gate.level[-1]) if gate.level else now


def _mend(rule: Rule, gate: Gate, now: int) -> None:
    """Bring `level` back to what the rule and the clock permit. It may be another algorithm's: operators may choose."""
    if not gate.level:
        return
    per, first, last = rule.per or 0, gate.level[0], gate.level[-1]
    if rule.algorithm == "fixed":
        if len(gate.level) != 2:
            gate.level = []
        elif first > now + per:
            gate.level = [now - now % per, min(last, capacity(rule))]
        return
    set_back = last > now + per
    if rule.algorithm == "bucket":
        last = now if set_back else last
        gate.level = [min(first, max(last, now) + capacity(rule) * _interval(rule)), last]
    elif first > last:
        gate.level = [min(last, now)]
    elif set_back:
        gate.level = [min(moment, now) for moment in gate.level]


def _bucket(rule: Rule, gate: Gate, now: int, cost: int) -> tuple[int, int]:
    """What is in the bucket, and when there is as much as `cost`."""
    now, step = _moment(gate, now), _interval(rule)
    full_at = gate.level[0] if gate.level else 0
    missing = max(0, full_at - now)
    most = capacity(rule)
    return (most * step - missing) // step, full_at + (cost - most) * step


def _window(gate: Gate, per: int, now: int) -> tuple[int, int]:
    """The window of the clock that now is in, and what was taken in it."""
    start = now - now % per
    if gate.level and gate.level[0] >= start:
        return gate.level[0], gate.level[1]
    return start, 0
