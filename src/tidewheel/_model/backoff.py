"""How long to wait after a failed attempt: backoffs and their jitter. Values, and pure: the dice come in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from tidewheel._model.duration import LONGEST, Span, human, micros

Jitter: TypeAlias = Literal["full", "equal"] | float | str | timedelta | None  # noqa: PYI051 - for the reader
"""How much chance goes into a delay:

* `None`: none.
* a fraction from 0 to 1: up to that part of the delay is taken off. 0.1 makes 9..10 s of 10 s.
* `"equal"` and `"full"`: the fractions 0.5 and 1.
* a duration as text or `timedelta`, such as `"1s"`: up to that much is put on top, over the cap too.
"""

BackoffFunction: TypeAlias = Callable[[int, BaseException | None], Span | None]
"""`fn(attempt, error)`: the delay after `attempt` (1, 2, ...) failed, or None to give up."""


# Checked when a policy that was stored with a job is read back; the functions below check what people write.
_Micros: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=LONGEST)]
_Positive: TypeAlias = Annotated[int, msgspec.Meta(gt=0, le=LONGEST)]


class Backoff(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """How long to wait after a failed attempt. Made by `fixed`, `linear`, `exponential`, `delays` and `custom`."""

    cap: _Micros | None = None
    """Microseconds no delay exceeds (before additive jitter)."""
    spread: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """The fraction of a delay that chance may take off."""
    extra: _Micros = 0
    """Microseconds that chance may put on top."""

    def delay(
        self,
        attempt: int,
        error: BaseException | None = None,
        random: Random | None = None,
    ) -> int | None:
        """Microseconds to wait after `attempt` (1, 2, ...) failed with `error`; None: give up (custom functions only).

        Without `random` there is no jitter.
        """
        if attempt < 1:
            raise ValueError(f"attempt={attempt}: attempts are counted from 1.")
        plain = self._plain(attempt, error)
        if plain is None:
            return None
        wait = int(min(plain, LONGEST if self.cap is None else self.cap))
        if random is not None and self.spread:
            wait -= round(wait * self.spread * random.random())
        if random is not None and self.extra:
            wait += round(self.extra * random.random())
        return wait

    def preview(self, count: int = 10) -> list[str]:
        """The first delays without jitter, as text for people: `["1s", "2s", "4s"]`."""
        waits = map(self.delay, range(1, count + 1))
        return ["give up" if wait is None else human(wait) for wait in waits]

    def _plain(self, attempt: int, error: BaseException | None, /) -> float | None:
        raise NotImplementedError


class Fixed(Backoff, frozen=True, tag_field="kind", tag="fixed"):
    """See `fixed`."""

    span: _Micros

    def _plain(self, _attempt: int, _error: BaseException | None, /) -> float:
        return self.span


class Linear(Backoff, frozen=True, tag_field="kind", tag="linear"):
    """See `linear`."""

    step: _Positive

    def _plain(self, attempt: int, _error: BaseException | None, /) -> float:
        return self.step * attempt


class Exponential(Backoff, frozen=True, tag_field="kind", tag="exponential"):
    """See `exponential`."""

    base: _Positive
    factor: Annotated[float, msgspec.Meta(ge=1, le=100)] = 2.0

    def _plain(self, attempt: int, _error: BaseException | None, /) -> float:
        try:
            return self.base * float(self.factor) ** (attempt - 1)
        except OverflowError:  # attempt 1025 at factor 2; base is over 0, so only the cap matters
            return LONGEST


class Delays(Backoff, frozen=True, tag_field="kind", tag="delays"):
    """See `delays`."""

    spans: Annotated[tuple[_Micros, ...], msgspec.Meta(min_length=1)]

    def _plain(self, attempt: int, _error: BaseException | None, /) -> float:
        return self.spans[min(attempt, len(self.spans)) - 1]


class Custom(Backoff, frozen=True, tag_field="kind", tag="custom"):
    """See `custom`."""

    fn: BackoffFunction

    def _plain(self, attempt: int, error: BaseException | None, /) -> float | None:
        span = self.fn(attempt, error)
        return None if span is None else micros(span)


def fixed(span: Span, *, jitter: Jitter = None) -> Backoff:
    """The same delay every time: `fixed("5s")` waits 5, 5, 5, ... seconds. `fixed(0)` retries at once."""
    return Fixed(span=_span("fixed(span)", span), **_jitter(jitter))


def linear(step: Span, cap: Span | None = None, *, jitter: Jitter = None) -> Backoff:
    """A delay that grows by `step`: `linear("10s", cap="1m")` waits 10, 20, 30, ... seconds, at most 60."""
    first = _span("linear(step)", step, zero="Use fixed(0) to retry at once.")
    return Linear(step=first, cap=_cap(cap, first), **_jitter(jitter))


def exponential(
    base: Span = "1s",
    factor: float = 2.0,
    cap: Span | None = "1h",
    *,
    jitter: Jitter = None,
) -> Backoff:
    """A delay that grows `factor`-fold: `exponential("1s", cap="30m", jitter="1s")` waits 1, 2, 4, 8, ... seconds,
    at most 30 minutes, and up to one second more by chance.

    `cap=None` lets it grow to 200 years, which is the same as giving up without saying so.
    """
    first = _span("exponential(base)", base, zero="Use fixed(0) to retry at once.")
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        raise TypeError(f"exponential(factor={factor!r}) is no number. Give one from 1 to 100, such as 2.")
    if not 1 <= factor <= 100:
        raise ValueError(f"exponential(factor={factor}) is out of range. Give a number from 1 to 100; 2 doubles.")
    return Exponential(base=first, factor=float(factor), cap=_cap(cap, first), **_jitter(jitter))


def delays(*spans: Span, jitter: Jitter = None) -> Backoff:
    """The delays one by one, the last one repeated: `delays("10s", "1m", "1h")`."""
    if not spans:
        raise ValueError('delays() needs one delay at least, as in delays("10s", "1m", "1h").')
    return Delays(spans=tuple(_span("delays(...)", span) for span in spans), **_jitter(jitter))


def custom(fn: BackoffFunction, cap: Span | None = None, *, jitter: Jitter = None) -> Backoff:
    """Your own function: `fn(attempt, error)` answers the delay after that attempt, or None to give up.

    `attempt` is 1 after the first failure. The function must be quick: it runs on the worker's event loop.
    When it raises, or answers something that is no duration, the job is given up and the reason says so.
    It works in a task's own policy, not in a per-job override, because code cannot be stored.
    """
    function: object = fn  # not all callers check types
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise TypeError(f"custom({fn!r}) is no plain function. Give fn(attempt, error) that answers a duration.")
    return Custom(fn=fn, cap=None if cap is None else micros(cap), **_jitter(jitter))


def as_backoff(where: str, value: Backoff | Span | BackoffFunction) -> Backoff:
    """A backoff from what a setting named `where` may hold: a backoff, a duration or a function.

    Raises:
        TypeError: anything else.
        ValueError: a text that is no duration.
    """
    if isinstance(value, Backoff):
        return value
    if isinstance(value, int | float | str | timedelta) and not isinstance(value, bool):
        return Fixed(span=micros(value))
    if callable(value) and not isinstance(value, type):
        return custom(value)
    raise TypeError(
        f'{where}={value!r} is no backoff. Give fixed("5s"), linear("5s"), exponential("1s"), a duration or a function.'
    )


def _span(where: str, span: Span, zero: str = "") -> int:
    value = micros(span)
    if zero and not value:
        raise ValueError(f"{where}: {span!r} is zero. {zero}")
    return value


def _cap(cap: Span | None, first: int) -> int | None:
    if cap is None:
        return None
    value = micros(cap)
    if value < first:
        raise ValueError(
            f"cap={cap!r} is shorter than the first delay of {human(first)}. Raise the cap or lower the delay."
        )
    return value


def _jitter(jitter: Jitter) -> dict[str, Any]:
    if jitter is None:
        return {}
    if jitter in ("full", "equal"):
        return {"spread": 1.0 if jitter == "full" else 0.5}
    if isinstance(jitter, str | timedelta):
        try:
            return {"extra": micros(jitter)}
        except ValueError as error:
            raise ValueError(
                f'jitter={jitter!r} is unknown. Give "full", "equal", a fraction from 0 to 1, or a duration as "1s".'
            ) from error
    if isinstance(jitter, bool) or not isinstance(jitter, int | float):
        raise TypeError(
            f'jitter={jitter!r} is of no use. Give "full", "equal", a fraction from 0 to 1, or a duration as text.'
        )
    if not 0 <= jitter <= 1:
        raise ValueError(
            f"jitter={jitter} is out of range: a number is a fraction from 0 to 1. "
            f'For up to {jitter:g} s on top write "{jitter:g}s".'
        )
    return {"spread": float(jitter)}
