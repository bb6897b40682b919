"""The settings of a task and of a single job: what may be given, what it is checked for, what it means by default."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from tidewheel._model.duration import SECOND, human, micros
from tidewheel._model.errors import ConfigError, TidewheelError
from tidewheel._model.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, FIRST_PRIORITY, LAST_PRIORITY
from tidewheel._model.retention import Retention
from tidewheel._model.retry import RetryPolicy
from tidewheel._names import check_name
from tidewheel._places import Fair, ageing_of
from tidewheel._rules import AnyRule, Backlog, Debounce, Idempotent, KeepLast, Throttle, Unique
from tidewheel._serde import encode

DEFAULT_RETRY: Final = RetryPolicy()
DEFAULT_RETENTION: Final = Retention()
DEFAULT_TTL: Final = 24 * 3600 * SECOND
"""How long an idempotency key is taken."""
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
    rule: AnyRule | None = None
    """What an enqueue does to the job that holds the same key; of these a job has one at most."""
    expires: int | None = None
    backlog: Backlog | None = None
    fair: Fair | None = None
    ageing: int | None = None
    """So long a wait is worth one step of priority."""


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
    problems += [f"{name}: {problem}" for problem in _set_rule(new, given, base)]
    if "fair" in new and "ageing" in new:
        problems.append(f"{name}: fair and ageing both say where a job stands in line. Keep the one you mean.")
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


def _set_rule(new: dict[str, Any], given: Mapping[str, Any], base: TaskSettings) -> Iterable[str]:
    """Find the one rule among what was given, and put it into `new`; gives what cannot work."""
    ttl = new.pop("idempotency_ttl", DEFAULT_TTL)
    word = new.pop("idempotency_key", None)
    if word is None and given.get("idempotency_ttl") is not None:
        yield "idempotency_ttl was given without an idempotency_key. Give both, or leave it out."
    found: dict[str, AnyRule] = {what: new.pop(what) for what in ("throttle", "debounce", "keep_last") if what in new}
    own = base.rule
    if "unique" in new and isinstance(own, Unique):
        own = new["rule"] = None  # the job's own word about the same thing
    if isinstance(new.get("unique"), Unique):
        found["unique"], new["unique"] = new["unique"], False
    if word is not None:
        found["idempotency_key"] = Idempotent(word, ttl)
    if own is not None and found:
        what = ", ".join(sorted(found))
        yield (
            f"{what}: the task has a {type(own).__name__} already, and a job has one rule. "
            + ("Give the job an id= of its own instead, or drop the other rule." if word is not None else "Drop one.")
        )
    elif len(found) > 1:
        yield f"{' and '.join(sorted(found))} were given, and a job has one rule. Keep the one you mean."
    new.update(("rule", rule) for rule in found.values())
    yield from _time_problems(new, base)


def _time_problems(new: dict[str, Any], base: TaskSettings) -> Iterable[str]:
    """What of a rule, a delay and an expiry does not go together; the wait of a debounce is put into `new`."""
    rule: AnyRule | None = new.get("rule", base.rule)
    if isinstance(rule, Debounce | KeepLast) and new.get("unique", base.unique):
        yield f"unique and a {type(rule).__name__} were given: what waits is one job already. Drop unique."
    delay = new.get("delay", base.delay)
    if isinstance(rule, Debounce):
        if "delay" in new or "run_at" in new:
            yield "delay or run_at was given for a task with a debounce, whose wait is its delay. Leave it out."
        delay = micros(rule.wait)
        if "rule" in new:
            new["delay"] = delay
    expires = new.get("expires", base.expires)
    if expires is not None and "run_at" not in new and expires <= delay:
        yield f"expires={human(expires)} is over when its delay of {human(delay)} is: it could never start. Give more."


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


def _unique(value: Any) -> bool | str | Unique:
    if isinstance(value, bool | Unique):
        return value
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        raise ValueError(f"{value!r} must be True (by arguments), a text of 1 to 200 characters, or a Unique(...).")
    value.encode()  # a lone surrogate would fail in the store; UnicodeEncodeError is a ValueError
    if "\0" in value:
        raise ValueError(f"{value!r} has a NUL in it, which some stores do not take. Leave it out.")
    return value


def _idempotency_key(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} must be a text: what names this one wish, such as the id of the request.")
    value.encode()
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


def _time(value: Any, remedy: str) -> int:
    span = micros(value)
    if span == 0:
        raise ValueError(f"{value!r} is no time at all. {remedy}")
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
    "throttle": _instance(Throttle),
    "debounce": _instance(Debounce),
    "keep_last": lambda value: KeepLast() if value is True else _instance(KeepLast)(value),
    "idempotency_key": _idempotency_key,
    "idempotency_ttl": lambda value: _time(value, "Leave it out for 24 hours."),
    "expires": lambda value: _time(value, "Leave it out, and the job never expires."),
    "backlog": lambda value: Backlog(value) if type(value) is int else _instance(Backlog)(value),
    "tags": _words,
    "meta": _meta,
    "retention": _instance(Retention),
    "lifo": _instance(bool),
    "max_crashes": _crashes,
    "per_worker": _per_worker,
    "fair": _instance(Fair),
    "ageing": ageing_of,
}
