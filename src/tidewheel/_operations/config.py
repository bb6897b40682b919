"""The settings of an operation runner, checked all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from tidewheel._model.backoff import Backoff, BackoffFunction, as_backoff, exponential
from tidewheel._model.duration import SECOND, Span, micros
from tidewheel._model.error_class import ErrorClass, class_names
from tidewheel._model.errors import ConfigError
from tidewheel._model.retry import RetryPolicy

T = TypeVar("T")

DEFAULT_BACKOFF: Final = exponential("2s", cap="10s", jitter=0.1)


@dataclass(frozen=True, kw_only=True)
class OperationConfig:
    """How an `OperationRunner` runs things.

    Raises:
        ConfigError: values that cannot work; `problems` lists all of them.
    """

    retries: int = 3
    """Tries after the first one, 0..10."""
    timeout: Span = "15s"
    """For each try, 1 s to 60 s."""
    batch_size: int = 50
    """Items that `run_batch` takes up together, 1..1000."""
    concurrency: int = 10
    """Operations of one batch, and threads for plain functions, that run at once, 1..1000."""
    cache_size: int = 1_000
    """Values that `fetch` keeps, 1..1,000,000; the one unused for longest goes first."""
    backoff: Backoff | Span | BackoffFunction = DEFAULT_BACKOFF
    """The delay before each retry."""
    never: Iterable[ErrorClass] | ErrorClass = ()
    """Errors that are not retried; see `RetryPolicy`."""
    only: Iterable[ErrorClass] | ErrorClass = ()
    """When given, the only errors that are retried."""
    policy: RetryPolicy = field(init=False, repr=False, compare=False)
    timeout_micros: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        problems: list[str] = []

        def read(make: Callable[[], T], default: T) -> T:
            try:
                return make()
            except (ValueError, TypeError) as error:
                problems.append(str(error))
                return default

        for name, least, most in _LIMITS:
            read(partial(_check, name, getattr(self, name), least, most), None)
        timeout = read(self._timeout, 0)
        backoff = read(partial(as_backoff, "backoff", self.backoff), DEFAULT_BACKOFF)
        never: list[str] = read(lambda: class_names("never", self.never), [])
        only: list[str] = read(lambda: class_names("only", self.only), [])
        attempts = self.retries + 1 if not problems else 1
        policy = read(lambda: RetryPolicy(attempts, backoff, never=never, only=only), RetryPolicy())
        if problems:
            raise ConfigError(problems)
        object.__setattr__(self, "policy", policy)
        object.__setattr__(self, "timeout_micros", timeout)

    def _timeout(self) -> int:
        try:
            timeout = micros(self.timeout)
        except (ValueError, TypeError) as error:
            raise ValueError(f"timeout: {error}") from error
        if not SECOND <= timeout <= 60 * SECOND:
            raise ValueError(f"timeout={self.timeout!r} is out of range. Give a duration from 1 s to 60 s.")
        return timeout


_LIMITS: Final = (
    ("retries", 0, 10),
    ("batch_size", 1, 1_000),
    ("concurrency", 1, 1_000),
    ("cache_size", 1, 1_000_000),
)


def _check(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r} is no whole number. Give one from {least:,} to {most:,}.")
    if not least <= value <= most:
        raise ValueError(f"{name}={value!r} is out of range. Give {least:,} to {most:,}.")
