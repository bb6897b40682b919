"""Runs one attempt and turns whatever happens into an outcome. User code cannot break the worker here.

1. decode the arguments        4. ask it to wind up at the soft timeout
2. make the context current    5. end it at the timeout
3. call the handler            6. name the outcome
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from random import Random
from types import TracebackType
from typing import Any, Final, TypeAlias

import msgspec

from tidewheel._context import SOFT_TIMEOUT, Stopped, current
from tidewheel._engine.attempt import Attempt
from tidewheel._model.duration import human
from tidewheel._model.error_class import qualified_name
from tidewheel._model.errors import Cancel, DecodeError, EncodeError, LeaseLost, Retry, Snooze
from tidewheel._model.job import ErrorInfo
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Snoozed
from tidewheel._model.retry import RetryIn, RetryPolicy
from tidewheel._serde import storable
from tidewheel._settings import JobOptions, TaskSettings

_log: Final = logging.getLogger("tidewheel")
_MESSAGE: Final = 16_384
"""Characters kept of an error's message."""
_HAND_BACK: Final = ("shutdown", "lease lost")
_options: Final = msgspec.json.Decoder(JobOptions)

Call: TypeAlias = Callable[[Attempt], Awaitable[str]]
"""How an executor calls a handler: it decodes the arguments and gives back the result's JSON."""


class RemoteError(Exception):
    """An error of a child process: as the cause of one that could be rebuilt, or in place of one that could not."""

    def __init__(self, info: ErrorInfo) -> None:
        self.info = info
        super().__init__(info.message)
        self.add_note(info.traceback)


class Runner:
    """Turns attempts into outcomes."""

    def __init__(self, clock: Callable[[], int], random: Random, interrupt: Callable[[Attempt, str], None]) -> None:
        self._clock = clock
        self._random = random
        self._interrupt = interrupt
        """Ends an attempt, and gives it up when it does not end."""

    async def run(self, attempt: Attempt, call: Call) -> Outcome:
        """One attempt. Never raises; cancelling the calling task interrupts the handler."""
        policy = attempt.task.settings.retry
        timers: list[asyncio.TimerHandle] = []
        try:
            policy, timeout, soft_timeout = self._settings(attempt)
            if timeout is not None or soft_timeout is not None:
                self._set_timers(attempt, timers, timeout, soft_timeout)
            current.set(attempt.context)
            return Complete(await call(attempt))
        except asyncio.CancelledError as error:
            return self._interrupted(attempt, error, policy)
        except Snooze as signal:
            return Snoozed(signal.after)
        except Stopped as error:
            return self._interrupted(attempt, error, policy)
        except Cancel as signal:
            return Cancelled(storable(str(signal.reason)))
        except (DecodeError, EncodeError) as error:
            return Discarded(_info(attempt, error))  # trying again cannot help
        except LeaseLost as error:
            # Somebody else's, raised as if it were ours, would be handed back for ever.
            return Released("lease lost") if attempt.context.lost else self._failed(attempt, error, policy)
        except BaseException as error:  # noqa: BLE001 -- SystemExit and the like of a handler end its job, not us
            return self._failed(attempt, error, policy)
        finally:
            for timer in timers:
                timer.cancel()

    def interrupted(self, attempt: Attempt) -> Outcome:
        """The outcome of an attempt whose handler does not end although it was interrupted."""
        try:
            policy, _, _ = self._settings(attempt)
        except DecodeError as error:
            return Discarded(_info(attempt, error))
        return self._interrupted(attempt, TimeoutError("the handler ignored its interruption"), policy)

    def _set_timers(
        self, attempt: Attempt, timers: list[asyncio.TimerHandle], timeout: int | None, soft_timeout: int | None
    ) -> None:
        def begin() -> None:
            loop = asyncio.get_running_loop()
            if timeout is not None:
                timers.append(loop.call_later(timeout / 1_000_000, self._interrupt, attempt, "timeout"))
            if soft_timeout is not None:
                timers.append(loop.call_later(soft_timeout / 1_000_000, attempt.context.stop, SOFT_TIMEOUT))

        if attempt.task.batch is None:
            begin()
        else:  # its time begins with its batch
            attempt.begin = begin

    def _settings(self, attempt: Attempt) -> tuple[RetryPolicy, int | None, int | None]:
        settings = attempt.task.settings
        if attempt.claimed.options is not None:
            return _overridden(attempt.claimed.options, settings)
        return settings.retry, settings.timeout, settings.soft_timeout

    def _interrupted(self, attempt: Attempt, error: BaseException, policy: RetryPolicy) -> Outcome:
        reason = attempt.context.stop_reason
        if reason == "cancel":
            return Cancelled("cancelled on request")
        if reason in _HAND_BACK:
            return Released(reason)
        if reason == "timeout" or (reason == SOFT_TIMEOUT and isinstance(error, Stopped)):
            which = "timeout" if reason == "timeout" else "soft timeout"
            over = TimeoutError(f"the attempt took longer than its {which}")
            over.__cause__ = error
            return self._failed(attempt, over, policy)
        # The handler raised it by itself, or something it awaited was cancelled.
        return self._failed(attempt, error, policy)

    def _failed(self, attempt: Attempt, error: BaseException, policy: RetryPolicy) -> Outcome:
        claimed, reason = attempt.claimed, attempt.context.stop_reason
        info = _info(attempt, error)
        if reason == "cancel":
            return Cancelled(f"cancelled on request; it ended with {info.type}: {info.message}")
        if reason in _HAND_BACK:
            return Released(reason)  # it did not fail: it was interrupted, whatever it made of that
        decision = policy.decide(
            claimed.attempt,
            error,
            self._clock() - claimed.enqueued_at,
            self._random,
            attempts=claimed.max_attempts,
        )
        if isinstance(decision, RetryIn):
            if not isinstance(error, Retry):
                _log.warning(
                    "%s %s failed in attempt %d of %d (%s: %s); next attempt in %s.",
                    claimed.kind, claimed.id, claimed.attempt, claimed.max_attempts, info.type, info.message,
                    human(decision.delay),
                )  # fmt: skip
            return RetryLater(decision.delay, info, _held(attempt, error))
        _log.error(
            "%s %s was given up (%s): %s: %s\n%s",
            claimed.kind, claimed.id, decision.reason, info.type, info.message, info.traceback,
        )  # fmt: skip
        return Discarded(info)


def _held(attempt: Attempt, error: BaseException) -> tuple[str, ...]:
    """The limits that a handler wants shut. What it names and the task does not have is said, and left out."""
    hold = getattr(error, "hold", False) if isinstance(error, Retry) else False
    if not hold:
        return ()
    known = tuple(name for name, _ in attempt.task.limits)
    wrong = ["its limits"] if hold is True and not known else [] if hold is True else sorted({*hold} - {*known})
    if wrong:
        _log.warning(
            "%s %s asked to hold %s; the limits of its task are: %s.",
            attempt.kind, attempt.claimed.id, ", ".join(wrong), ", ".join(known) or "none",
        )  # fmt: skip
    return known if hold is True else tuple(name for name in hold if name in known)


def _overridden(text: str, settings: TaskSettings) -> tuple[RetryPolicy, int | None, int | None]:
    """What the job itself says goes before what its task says."""
    try:
        own = _options.decode(text)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"The job's stored options {text!r} cannot be read: {error}.") from error
    return (
        settings.retry if own.retry is None else RetryPolicy.decode(own.retry),
        own.timeout or settings.timeout,
        own.soft_timeout or settings.soft_timeout,
    )


def _info(attempt: Attempt, error: BaseException) -> ErrorInfo:
    return describe(error, attempt.task.app.max_traceback)


def describe(error: BaseException, limit: int) -> ErrorInfo:
    """An exception as text, with the newest `limit` characters of its stack."""
    remote = error if isinstance(error, RemoteError) else error.__cause__
    if isinstance(remote, RemoteError):
        return remote.info
    try:
        message = storable(str(error))
    except BaseException as broken:  # noqa: BLE001 -- a user's __str__
        message = f"<its message could not be made: {type(broken).__name__}>"
    try:
        stack = storable("".join(traceback.format_exception(type(error), error, _users_part(error.__traceback__))))
    except BaseException as broken:  # noqa: BLE001 -- a user's __cause__, __notes__ and so on
        stack = f"<its stack could not be made: {type(broken).__name__}>"
    if len(stack) > limit:
        stack = f"... {len(stack) - limit} characters cut ...\n{stack[len(stack) - limit :]}"
    return ErrorInfo(qualified_name(type(error)), message[:_MESSAGE], stack)


def _users_part(stack: TracebackType | None) -> TracebackType | None:
    """The stack from the handler on: how the worker came to call it helps nobody."""
    part = stack
    while part is not None and part.tb_frame.f_globals.get("__name__", "").startswith("tidewheel._engine."):
        part = part.tb_next
    return part or stack


def run_handler(attempt: Attempt) -> Any:
    """Decode the arguments and call the function: its result, or for an async one its coroutine."""
    args, kwargs = attempt.task.codec.decode_call(attempt.claimed.args)
    return attempt.task.fn(*args, **kwargs)
