"""The settings of a task and of a single job: what may be given, what it is checked for, what it means by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from tidewheel._model.duration import micros
from tidewheel._model.errors import ConfigError, TidewheelError
from tidewheel._model.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, FIRST_PRIORITY, LAST_PRIORITY
from tidewheel._model.retention import Retention
from tidewheel._model.retry import RetryPolicy
from tidewheel._names import check_name
from tidewheel._serde import encode

DEFAULT_RETRY: Final = RetryPolicy()
DEFAULT_RETENTION: Final = Retention()
DEFAULT_KEEPS: Final = (DEFAULT_RETENTION.completed, DEFAULT_RETENTION.failed)


class JobOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Per-job settings that a runner reads, kept with the job as JSON. Spans in microseconds; None: the task's."""

    timeout: int | None = None
    soft_timeout: int | None = None
    retry: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """What every job of a task gets. Spans in microseconds."""

    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    retry: RetryPolicy = DEFAULT_RETRY
    timeout: int | None = None
    soft_timeout: int | None = None
    unique: bool | str = False
    tags: tuple[str, ...] = ()
    retention: Retention = DEFAULT_RETENTION
    max_crashes: int = 3
    per_worker: int | None = None
    delay: int = 0
    run_at: int | None = None
    id: str | None = None
    meta: str | None = None
    lifo: bool = False
    options: str | None = None
    own_retention: bool = False


def changed(
    base: TaskSettings, name: str, given: Mapping[str, Any], max_payload: int, *, per_job: bool = False
) -> TaskSettings:
    """`base` with what was given (None: not given).

    Raises:
        ConfigError: every value that cannot work, at once.
    """
    problems: list[str] = []
    new: dict[str, Any] = {}
    for key, value in given.items():
        if value is not None:
            try:
                new[key] = _READ[key](value)
            except (ValueError, TypeError, ConfigError) as error:
                problems.append(f"{name}: {key}: {error}")
    if "delay" in new and "run_at" in new:
        problems.append(f"{name}: delay and run_at were both given. Keep the one you mean.")
    soft, hard = new.get("soft_timeout", base.soft_timeout), new.get("timeout", base.timeout)
    if soft is not None and hard is not None and soft >= hard:
        problems.append(f"{name}: soft_timeout must be shorter than timeout, or it never comes.")
    if not problems and per_job:
        try:
            new.update(_as_job_options(new, max_payload, name))
        except (ValueError, TypeError, TidewheelError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise ConfigError(problems)
    return replace(base, **new)


def _as_job_options(new: dict[str, Any], max_payload: int, name: str) -> dict[str, Any]:
    """What a runner must be told of a single job travels with it."""
    more: dict[str, Any] = {}
    if not new.keys().isdisjoint(("timeout", "soft_timeout", "retry")):
        retry = new["retry"].encode() if "retry" in new else None
        options = JobOptions(timeout=new.get("timeout"), soft_timeout=new.get("soft_timeout"), retry=retry)
        more["options"] = encode(options, what=f"The options of {name}")
    if "meta" in new:
        more["meta"] = encode(new["meta"], what=f"meta of {name}", limit=max_payload)
    if "retention" in new:
        own = (new["retention"].completed, new["retention"].failed)
        if any(keep.count not in (None, 0) for keep in own if keep not in DEFAULT_KEEPS):
            raise ValueError("a single job's retention is a time, not a number of jobs: use keep(age=...) or keep(0).")
        more["own_retention"] = True
    return more


def _priority(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number. Give 1 (first) to 1000 (last).")
    if not FIRST_PRIORITY <= value <= LAST_PRIORITY:
        raise ValueError(f"{value} is out of range. Give {FIRST_PRIORITY} (first) to {LAST_PRIORITY} (last).")
    return value


def _crashes(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
        raise ValueError(f"{value!r} must be a whole number from 1 to 100.")
    return value


def _per_worker(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} must be a whole number of attempts, 1 or more.")
    return value


def _moment(value: Any) -> int:
    if not isinstance(value, datetime):
        raise TypeError(f"{value!r} is no datetime. Give one with a time zone, such as datetime.now(UTC).")
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone, so it is not one moment. Use datetime(..., tzinfo=...).")
    return round(value.timestamp() * 1_000_000)


def _unique(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        raise ValueError(f"{value!r} must be True (by arguments) or a text of 1 to 200 characters.")
    value.encode()  # a lone surrogate would fail in the store; UnicodeEncodeError is a ValueError
    return value


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"{value!r} is one text. Give a list of tags: [{value!r}].")
    words = tuple(value)
    for word in words:
        check_name(word, "a tag")
    return words


def _meta(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} must be an object (a dict).")
    return dict(value)


def _instance(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} ({type(value).__name__}) must be a {kind.__name__}.")
        return value

    return read


def _positive(value: Any) -> int:
    span = micros(value)
    if span == 0:
        raise ValueError("0 would end every attempt before it starts. Leave it out for no limit.")
    return span


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "id": lambda value: check_name(value, "a job id"),
    "queue": lambda value: check_name(value, "a queue name"),
    "priority": _priority,
    "delay": micros,
    "run_at": _moment,
    "retry": RetryPolicy.of,
    "timeout": _positive,
    "soft_timeout": _positive,
    "unique": _unique,
    "tags": _words,
    "meta": _meta,
    "retention": _instance(Retention),
    "lifo": _instance(bool),
    "max_crashes": _crashes,
    "per_worker": _per_worker,
}
