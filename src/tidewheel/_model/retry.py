"""Whether a failed attempt is tried again, and when: retry policies.

Pure: the attempt's number, the error, the elapsed time and the dice come in, a `Decision` comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Any, Final, TypeAlias, cast

import msgspec

from tidewheel._model.backoff import (
    Backoff,
    BackoffFunction,
    Delays,
    Exponential,
    Fixed,
    Linear,
    as_backoff,
)
from tidewheel._model.duration import SECOND, Span, human, micros
from tidewheel._model.error_class import ErrorClass, class_name, class_names, loaded_class, qualified_name
from tidewheel._model.errors import DecodeError, EncodeError, Retry

MAX_ATTEMPTS: Final = 1000


class RetryIn(msgspec.Struct, frozen=True, gc=False):
    """Try again in `delay` microseconds."""

    delay: int


class GiveUp(msgspec.Struct, frozen=True, gc=False):
    """Do not try again; `reason` says why, for people."""

    reason: str


Decision: TypeAlias = RetryIn | GiveUp

DEFAULT_BACKOFF: Final = Exponential(base=SECOND, cap=3600 * SECOND, spread=0.1)


@dataclass(frozen=True, slots=True, init=False)
class RetryPolicy:
    """Whether and when a failed job runs again.

    Args:
        attempts: tries in all, the first one included, 1..1000. 1 means no retry.
        backoff: the delay between tries: a `Backoff`, a duration (the same every time) or a function
            (see `custom`). Default: 1 s, doubling, at most 1 h, of which chance takes off up to a tenth
            so that jobs that failed together do not come back together.
        within: total time since the job was first enqueued; a retry that would start later is not made.
        rules: another backoff for certain errors.
        never: errors that are not retried.
        only: when given, just these errors (and those of `rules`) are retried.

    The three take exception classes or their names (`"smtplib.SMTPAuthenticationError"`), and hold for subclasses.
    When several match an error the most specific class wins, wherever it stands, so
    `only=(OSError,), never=(FileNotFoundError,)` reads as it should.

    Raises:
        ValueError: a value out of range, or a class in two of the three places.
        TypeError: a value of the wrong type.
    """

    attempts: int
    backoff: Backoff
    within: int | None
    """Microseconds."""
    rules: Mapping[str, Backoff | None] = field(hash=False)
    """Class name → its backoff; None means the policy's own."""
    never: frozenset[str]
    strict: bool
    """True when only errors that `rules` names are retried."""

    def __init__(
        self,
        attempts: int = 3,
        backoff: Backoff | Span | BackoffFunction = DEFAULT_BACKOFF,
        *,
        within: Span | None = None,
        rules: Mapping[ErrorClass, Backoff | Span | BackoffFunction] | None = None,
        never: Iterable[ErrorClass] | ErrorClass = (),
        only: Iterable[ErrorClass] | ErrorClass = (),
    ) -> None:
        if isinstance(attempts, bool) or not isinstance(attempts, int):
            raise TypeError(f"attempts={attempts!r} ({type(attempts).__name__}) is no whole number. Give 1 to 1000.")
        if not 1 <= attempts <= MAX_ATTEMPTS:
            raise ValueError(
                f"attempts={attempts} is out of range. Give 1 (no retry) to {MAX_ATTEMPTS}, the first try included."
            )
        ours = class_names("only", only)
        nevers = class_names("never", never)
        ruled = {class_name("rules", one): as_backoff(f"rules[{one!r}]", value) for one, value in (rules or {}).items()}
        for name in (*ours, *nevers):
            if name in ruled or (name in ours and name in nevers):
                raise ValueError(f"{name} is in two of rules, never and only. Keep the one you mean.")
        if within is not None and not micros(within):
            raise ValueError(f"within={within!r} leaves no time at all. Use attempts=1 for no retry.")
        put = object.__setattr__
        put(self, "attempts", attempts)
        put(self, "backoff", as_backoff("backoff", backoff))
        put(self, "within", None if within is None else micros(within))
        put(self, "rules", {**ruled, **dict.fromkeys(ours)})
        put(self, "never", frozenset(nevers))
        put(self, "strict", bool(ours))

    @classmethod
    def of(cls, value: RetryPolicy | int) -> RetryPolicy:
        """`value` itself, or the default policy with so many attempts."""
        return value if isinstance(value, RetryPolicy) else cls(value)

    def decide(
        self,
        attempt: int,
        error: BaseException,
        elapsed: int,
        random: Random,
        *,
        attempts: int | None = None,
    ) -> Decision:
        """What follows the failure of `attempt` (1, 2, ...), `elapsed` microseconds after the first enqueue.

        `attempts` replaces the policy's own number (the job's row has the last word). A raised `Retry` is
        retried by its own delay, if it has one, and no rule about errors applies to it. Never raises.
        """
        most = self.attempts if attempts is None else attempts
        if attempt >= most:
            return GiveUp("there is one attempt only" if most == 1 else f"attempt {attempt} of {most} failed")
        if isinstance(error, Retry):
            backoff: Backoff | None = self.backoff if error.after is None else Fixed(span=error.after)
        else:
            backoff = self._backoff_for(type(error))
        if backoff is None:
            return GiveUp(f"{qualified_name(type(error))} is not retried")
        try:
            wait = backoff.delay(max(attempt, 1), error, random)
        except Exception as bug:  # noqa: BLE001 - a user's function: its bug must not hurt the worker
            return GiveUp(f"the backoff function failed with {qualified_name(type(bug))}: {bug}")
        if wait is None:
            return GiveUp("the backoff function said stop")
        if self.within is not None and elapsed + wait > self.within:
            return GiveUp(
                f"the next attempt would start {human(elapsed + wait)} after the enqueue, "
                f"over the budget of {human(self.within)}"
            )
        return RetryIn(wait)

    def _backoff_for(self, error: type[BaseException]) -> Backoff | None:
        # By name first, then by the class a name leads to: see `loaded_class`.
        rules = {loaded_class(name): backoff for name, backoff in self.rules.items()} | dict(self.rules)
        never = {*self.never, *map(loaded_class, self.never)}
        for cls in error.__mro__:
            for key in (qualified_name(cls), cls):
                if key in never:
                    return None
                if key in rules:
                    return rules[key] or self.backoff
        return None if self.strict else self.backoff

    def encode(self) -> dict[str, Any]:
        """The policy as JSON types, for a per-job override. `decode` reads it back as an equal policy.

        Raises:
            EncodeError: a custom backoff function: code cannot be stored with a job.
        """
        wire = _Wire(
            attempts=self.attempts,
            backoff=_storable(self.backoff),
            within=self.within,
            rules={name: None if one is None else _storable(one) for name, one in self.rules.items()},
            never=sorted(self.never),
            strict=self.strict,
        )
        return cast("dict[str, Any]", msgspec.to_builtins(wire))

    @classmethod
    def decode(cls, data: object) -> RetryPolicy:
        """The policy that `encode` wrote.

        Raises:
            DecodeError: `data` is not what `encode` of this version writes.
        """
        try:
            wire = msgspec.convert(data, _Wire)
            policy = cls(wire.attempts, wire.backoff, never=wire.never)
            names = {class_name("rules", name): backoff for name, backoff in wire.rules.items()}
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise DecodeError(f"The stored retry policy {data!r} cannot be read: {error}") from error
        object.__setattr__(policy, "within", wire.within)
        object.__setattr__(policy, "rules", names)
        object.__setattr__(policy, "strict", wire.strict)
        return policy


_Stored: TypeAlias = Fixed | Linear | Exponential | Delays


class _Wire(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    attempts: int
    backoff: _Stored
    within: Annotated[int, msgspec.Meta(gt=0)] | None = None
    rules: dict[str, _Stored | None] = {}
    never: list[str] = []
    strict: bool = False


def _storable(backoff: Backoff) -> _Stored:
    if isinstance(backoff, _Stored):
        return backoff
    name = getattr(getattr(backoff, "fn", backoff), "__qualname__", repr(backoff))
    raise EncodeError(
        f"The backoff function {name} cannot be stored with a job. Put it into the task's own policy, "
        "@app.task(retry=...), or use fixed, linear, exponential or delays for this job."
    )
