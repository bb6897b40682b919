"""Every error Tidewheel raises on purpose.

    TidewheelError
    ├── ConfigError            settings, options or code that cannot work; lists all problems
    ├── EncodeError            an argument or result that cannot be written as JSON
    │   └── PayloadTooLarge    it can, but is over the size cap
    ├── DecodeError            a stored payload that does not fit the handler's signature
    ├── LimitKeyError          a limit or a rule finds no key in a job's arguments (also a ValueError)
    ├── NotEnqueued            a rule of the task refused a job; the others of the call are in
    │   ├── DuplicateJob       another job holds its key (`Unique(on_conflict="raise")`)
    │   └── QueueFull          as many wait as may (`Backlog`)
    ├── LimitNotFound          no such limit (wrong name, or nobody declared it yet)
    ├── SlotTimeout            no slot became free within the time given (also a TimeoutError)
    ├── LeaseLost              this attempt's lease was taken away; nothing it writes counts
    ├── JobNotFound            no such job (wrong id, or pruned)
    ├── JobNotDone             `result()` of a job that did not complete
    │   ├── JobFailed          discarded: carries the error and stack of its last attempt
    │   ├── JobCancelled       cancelled
    │   └── ResultTimeout      not finished within the time given (also a TimeoutError)
    └── StoreError             the database said no
        ├── StoreUnavailable   it may say yes later: retried by workers (`retriable` is True)
        ├── StoreFull          no room on disk or in memory (retried: room may come back)
        └── SchemaMismatch     tables newer or older than this version, or not ours

Signals a handler may raise (they are answers, not failures):

    Retry    run again later; burns an attempt
    Snooze   run again later; burns none
    Cancel   stop, for good, without failing
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from tidewheel._model.duration import Span, human, micros


class TidewheelError(Exception):
    """Something in Tidewheel went wrong."""

    retriable = False
    """True when the same call may succeed later without any change."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else type(self).__doc__ or "")


class ConfigError(TidewheelError):
    """The configuration cannot work."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class EncodeError(TidewheelError):
    """A value cannot be written as JSON."""


class PayloadTooLarge(EncodeError):
    """A value is over the size cap."""


class DecodeError(TidewheelError):
    """A stored payload does not fit the handler."""


class LimitKeyError(TidewheelError, ValueError):
    """A limit finds no key, or no cost, in the arguments of a job; or a rule for enqueuing finds no key."""


class NotEnqueued(TidewheelError):
    """A rule of its task refused a job."""

    def __init__(self, message: str | None = None, *, handles: Sequence[Any] = ()) -> None:
        self.handles = tuple(handles)
        """The handles of all jobs of the call, in their order. Those that were let in are in: see `created` and `did`."""
        super().__init__(message)


class DuplicateJob(NotEnqueued):
    """Another job holds the key."""

    def __init__(self, message: str | None = None, *, existing_id: str = "", handles: Sequence[Any] = ()) -> None:
        self.existing_id = existing_id
        """The job that took the key. It may be gone, when the key's period still runs."""
        super().__init__(message, handles=handles)


class QueueFull(NotEnqueued):
    """As many jobs wait as may."""


class LimitNotFound(TidewheelError):
    """There is no such limit: the name is wrong, or nobody declared it yet."""


class LeaseLost(TidewheelError):
    """The lease of this attempt was taken away: nothing it writes counts any more."""


class JobNotFound(TidewheelError):
    """There is no such job: the id is wrong, or retention pruned it."""


class JobNotDone(TidewheelError):
    """The job has no result."""


class JobFailed(JobNotDone):
    """The job was given up."""

    def __init__(self, message: str, *, error_type: str = "", traceback: str = "") -> None:
        self.error_type = error_type
        self.traceback = traceback
        super().__init__(message)


class JobCancelled(JobNotDone):
    """The job was cancelled."""


class ResultTimeout(JobNotDone, TimeoutError):
    """The job did not finish within the time given; it goes on."""


class SlotTimeout(TidewheelError, TimeoutError):
    """No slot of a limit became free within the time given."""


class StoreError(TidewheelError):
    """The database refused an operation."""


class StoreUnavailable(StoreError):
    """The database cannot be reached or is busy; the operation may be repeated."""

    retriable = True


class StoreFull(StoreError):
    """The database has no room left."""

    retriable = True


class SchemaMismatch(StoreError):
    """The tables do not fit this version of Tidewheel."""


class Retry(Exception):
    """Raise from a handler: run this job again after `after` (seconds or "10m"; default: by its
    retry policy). Burns an attempt; when none is left the job is discarded with this as its error.

    With `hold` nobody else starts through this job's gates before that time either, for a service that said
    "not before": `True` for all limits of the job, or the names of some. A limit by key is held for the job's key.

    Raises:
        TypeError: `hold` is something else.
    """

    def __init__(
        self,
        message: str = "retry asked for by the handler",
        *,
        after: Span | None = None,
        hold: bool | str | Iterable[str] = False,
    ) -> None:
        self.after = None if after is None else micros(after)
        self.hold: bool | tuple[str, ...] = _held(hold)
        super().__init__(message)


def _held(hold: object) -> bool | tuple[str, ...]:
    if isinstance(hold, bool):
        return hold
    names = (hold,) if isinstance(hold, str) else tuple(hold) if isinstance(hold, Iterable) else (hold,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"hold={hold!r} must be True, the name of a limit, or several names.")
    return names


class Snooze(Exception):
    """Raise from a handler: run this job again after `after` (seconds or "10m"). Burns no attempt."""

    def __init__(self, after: Span) -> None:
        self.after = micros(after)
        super().__init__(f"snoozed for {human(self.after)}")

    def __reduce__(self) -> tuple[type[Snooze], tuple[timedelta], dict[str, object]]:
        # By default the message would come back as the duration.
        return type(self), (timedelta(microseconds=self.after),), self.__dict__


class Cancel(Exception):
    """Raise from a handler: end this job as cancelled, without retry and without a dead letter."""

    def __init__(self, reason: str = "cancelled by its handler") -> None:
        self.reason = reason
        super().__init__(reason)


# People import them from `tidewheel`: that name stands in their tracebacks and in what is stored of an error.
for _error in [one for one in globals().values() if isinstance(one, type) and issubclass(one, Exception)]:
    _error.__module__ = "tidewheel"
