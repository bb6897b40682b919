"""Limits as code declares them: so many at once (`Limit`), so many in a time (`Rate`), of all jobs or by key.

The numbers live in the store, where an operator may change them; a job carries only which limits it must pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from tidewheel._model.duration import Span, micros
from tidewheel._model.errors import ConfigError
from tidewheel._model.limit import PAUSED, SLIDING_MOST, Algorithm, Rule
from tidewheel._names import check_name
from tidewheel._paths import Source, source_problem

MOST: Final = 1_000_000_000
"""No slots, count, burst or cost is larger."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `slots` attempts at once, wherever they run.

    Args:
        slots: so many attempts; 1 or more.
        key: when given, so many *for each key*: a path over the handler's arguments (`"args.tenant"`,
            `"args.items[0].id"`), or a function of the arguments by name.
        name: what operators call it, without a colon. Tasks that use limits of one name share it. Default:
            `<task>.concurrency`, with the key's path behind it.
        order: with one slot: the jobs of a key start in the order of their line. "block": the first one keeps the slot
            until it has ended for good, so the others wait also while it waits for its next attempt. "skip": it keeps the
            slot for an attempt, as always, and lines up again. Default: no order is promised.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    slots: int
    key: Source | None = None
    name: str | None = None
    order: Literal["block", "skip"] | None = None

    def __post_init__(self) -> None:
        refuse(self, [*whole_problem("slots", self.slots), *_common_problems(self), *self._order_problems()])

    def _order_problems(self) -> Iterable[str]:
        if self.order is not None and self.order not in ("block", "skip"):
            yield f'order={self.order!r} must be "block" or "skip", or be left out.'
        elif self.order is not None and self.slots != 1:
            yield f"order={self.order!r} means one job after the other: give slots=1, not {self.slots!r}."

    @property
    def rule(self) -> Rule:
        """What the store is told."""
        return Rule(slots=self.slots)

    @property
    def cost(self) -> None:
        """A slot is a slot."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` starts in every `per`, wherever they run.

    Args:
        count: so many starts (points, with `cost`); 1 or more, for a sliding window at most 1000.
        per: the time, in seconds or as text ("1m").
        key: see `Limit`.
        algorithm: "sliding": no stretch of `per` ever holds more than `count`. "bucket": evenly, one every
            `per / count`, after a silence up to `burst` at once; so up to `burst + count` in the worst stretch. "fixed":
            `count` in each window of the clock; so up to twice as many around its edge. Default "sliding".
        burst: for a bucket, how many may start at once after a silence; default `count`.
        cost: what one start takes; a number, or a path or function as `key` takes them. Default 1.
        name: see `Limit`. Default: `<task>.rate`, with the key's path behind it.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    count: int
    per: Span
    key: Source | None = None
    algorithm: Algorithm = "sliding"
    burst: int | None = None
    cost: int | Source | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        refuse(self, [*self._problems(), *_common_problems(self)])

    @property
    def rule(self) -> Rule:
        """What the store is told."""
        return Rule(count=self.count, per=micros(self.per), algorithm=self.algorithm, burst=self.burst)

    @property
    def capacity(self) -> int:
        """The most that one start may cost: more would never fit."""
        return self.count if self.burst is None else self.burst

    def _problems(self) -> Iterable[str]:
        wrong = [*whole_problem("count", self.count), *span_problem("per", self.per)]
        if self.algorithm not in ("sliding", "bucket", "fixed"):
            wrong.append(f'algorithm={self.algorithm!r} must be "sliding", "bucket" or "fixed".')
        if self.burst is not None:
            wrong += whole_problem("burst", self.burst)
            if self.algorithm != "bucket":
                wrong.append(f'burst={self.burst!r} means something for a bucket only: add algorithm="bucket".')
        wrong += sliding_problem(self.count, self.algorithm)
        if isinstance(self.cost, int):  # True, too: whole_problem refuses it
            bad = whole_problem("cost", self.cost)
            if not bad and not wrong and self.cost > self.capacity:
                bad = [f"cost={self.cost} never fits: {'count' if self.burst is None else 'burst'} is {self.capacity}."]
            wrong += bad
        elif self.cost is not None and (bad_source := source_problem(self.cost)):
            wrong.append(f"cost: {bad_source}")
        return wrong


@dataclass(frozen=True, slots=True)
class Breaker:
    """After `failures` failed attempts within `within` nothing starts for `open_for`. Then `probes` at a time try: one that
    completes lets all pass again, one that fails shuts the breaker for another `open_for`.

    An attempt has failed when it will be retried, was given up, or lost its worker. Who is stopped keeps its attempts.

    Args:
        failures: so many; 1 to 1000.
        within: in so long, in seconds or as text ("1m").
        open_for: nothing starts for so long.
        probes: so many attempts at once try after that; default 1.
        key: see `Limit`.
        name: see `Limit`. Default: `<task>.breaker`, with the key's path behind it.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    failures: int
    within: Span
    open_for: Span
    probes: int = 1
    key: Source | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        refuse(self, [*self._problems(), *_common_problems(self)])

    @property
    def rule(self) -> Rule:
        """What the store is told."""
        return Rule(
            failures=self.failures, within=micros(self.within), open_for=micros(self.open_for), probes=self.probes
        )

    @property
    def cost(self) -> None:
        """An attempt is an attempt."""

    def _problems(self) -> Iterable[str]:
        yield from whole_problem("failures", self.failures, SLIDING_MOST)
        yield from span_problem("within", self.within)
        yield from span_problem("open_for", self.open_for)
        yield from whole_problem("probes", self.probes)


AnyLimit: TypeAlias = Limit | Rate | Breaker


def whole_problem(what: str, value: Any, most: int = MOST) -> list[str]:
    """What is wrong with a number of starts."""
    if isinstance(value, bool) or not isinstance(value, int):
        return [f"{what}={value!r} is no whole number. Give 1 or more."]
    if not 1 <= value <= most:
        return [f"{what}={value} is out of range. Give 1 to {most:,}."]
    return []


def span_problem(what: str, value: Any, remedy: str = "Give seconds, or text such as '1m'.") -> list[str]:
    """What is wrong with a time that must be one; `remedy`: for no time at all."""
    try:
        span = micros(value)
    except (ValueError, TypeError) as error:
        return [f"{what}: {error}"]
    return [] if span else [f"{what}={value!r} is no time at all. {remedy}"]


def sliding_problem(count: Any, algorithm: str | None) -> list[str]:
    """A sliding window remembers each start."""
    if algorithm not in ("sliding", None) or not isinstance(count, int) or not SLIDING_MOST < count <= MOST:
        return []
    return [f"count={count} is over {SLIDING_MOST}, the most of a sliding window. Use algorithm='bucket' or 'fixed'."]


def name_problem(name: Any) -> str:
    """What is wrong with the name of a limit; empty when nothing is."""
    try:
        check_name(name, "the name of a limit")
    except (ValueError, TypeError) as error:
        return str(error)
    if ":" in name:
        return f"{name!r} is not the name of a limit: a colon parts it from its keys. Give another name=."
    if name.startswith(PAUSED):
        return f"{name!r} is not the name of a limit: with {PAUSED!r} begin the pauses of tasks. Give another name=."
    return ""


def _common_problems(limit: AnyLimit) -> Iterable[str]:
    if limit.key is not None and (problem := source_problem(limit.key)):
        yield f"key: {problem}"
    if limit.name is not None and (problem := name_problem(limit.name)):
        yield problem


def refuse(given: object, problems: Sequence[str]) -> None:
    """Refuse a limit, or a rule, that cannot work.

    Raises:
        ConfigError: there are problems; each is told with what it is about.
    """
    if problems:
        name = getattr(given, "name", None)
        what = type(given).__name__ + (f" {name!r}" if name else "")
        raise ConfigError([f"{what}: {problem}" for problem in problems])
