"""Limits: named rules about how many jobs may start, and what the store says of them.

A limit is declared by the code that uses it and may be changed by an operator; where both say something the operator
wins, and his word for a single key wins over that for the whole limit. A *gate* is one key of a limit with its state:
`api` for a limit without keys, `api:acme` for the key `acme`.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

Algorithm: TypeAlias = Literal["sliding", "bucket", "fixed"]

SLIDING_MOST: Final = 1000
"""A sliding window remembers each of its starts, so it has at most so many."""
ROOM_MOST: Final = 1000
"""No gate says that it has room for more: nobody releases more jobs at once."""
PAUSED: Final = "tidewheel.paused."
"""Before a task's name: how the store knows that it is paused. No limit is called so."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a limit permits. None says nothing: for a declaration that there is no such bound, for an operator that he
    leaves it as declared.
    """

    slots: int | None = None
    """At most so many attempts at once."""
    count: int | None = None
    """A rate: so many starts (points, when jobs have a cost) ..."""
    per: int | None = None
    """... in so many microseconds."""
    algorithm: Algorithm | None = None
    """`sliding` (None, too): no window of `per` holds more than `count`. `bucket`: evenly, `burst` at once after a
    silence. `fixed`: `count` in each window of the clock, so up to twice as many around its edge.
    """
    burst: int | None = None
    """For a bucket: how many may start at once after a silence; None = `count`."""
    paused: bool | None = None
    """Nothing starts."""
    failures: int | None = None
    """A breaker: after so many failures ..."""
    within: int | None = None
    """... within so many microseconds ..."""
    open_for: int | None = None
    """... nothing starts for so many. Then ..."""
    probes: int | None = None
    """... so many at once (None: 1) try, until one of them completes."""


class LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A limit as the store keeps it. `name` may be that of one gate, which an operator set apart."""

    name: str
    declared: Rule | None = None
    operator: Rule | None = None

    @property
    def rule(self) -> Rule | None:
        """What holds for the limit; None when nobody declared it, or when this is about one gate alone."""
        return merged(self.declared, self.operator, None)


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A gate at one moment."""

    key: str
    limit: str
    rule: Rule | None
    """What holds for it now; None: nobody declared its limit, so it is closed."""
    used: int
    """Attempts that hold a slot; at a gate with an order 1 when somebody has the place."""
    waiting: bool
    """Jobs are, or were a moment ago, parked under it."""
    room: int
    """How many jobs of cost 1 may start now, at most `ROOM_MOST`."""
    opens_at: int | None
    """When the next one may, by the clock alone; None: it has room, or an event opens it (an attempt's end, an
    operator).
    """
    shut_until: int | None = None
    """Held shut by a handler's word until then; None: by nobody's."""
    holder: str | None = None
    """Id of the job that has the place at a gate with an order."""


class Hit(msgspec.Struct, frozen=True):
    """A start somebody asks for by hand."""

    limit: str
    value: str = ""
    cost: int = 1


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a `Hit`."""

    allowed: bool
    remaining: int
    """How many of cost 1 may follow now."""
    retry_at: int | None = None
    """When one of this cost is allowed again, at the earliest; None: it was allowed, or no clock can tell."""
    reset_at: int | None = None
    """When everything is there again if nobody takes more; None: it is."""


def gate_key(limit: str, value: str) -> str:
    """The name of a gate."""
    return f"{limit}:{value}" if value else limit


def merged(declared: Rule | None, operator: Rule | None, own: Rule | None) -> Rule | None:
    """The rule that holds for a gate; None when nobody declared its limit. `own` is the operator's for this gate."""
    if declared is None:
        return None
    said = {}
    for rule in (declared, operator, own):
        if rule is not None:
            said.update({name: value for name in rule.__struct_fields__ if (value := getattr(rule, name)) is not None})
    return Rule(**said)
