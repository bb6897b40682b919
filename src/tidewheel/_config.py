"""Options of a worker and of an app: validated once, all problems at once."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from tidewheel._model.duration import SECOND, micros
from tidewheel._model.errors import ConfigError
from tidewheel._model.retention import Retention
from tidewheel._model.retry import RetryPolicy
from tidewheel._names import check_name

MOST_SLOTS: Final = {"loop": 10_000, "thread": 1_000, "process": 256}
"""So many jobs of each sort a worker runs at most, whatever its options."""
_HEAVIEST: Final = 1_000
_SIZES: Final = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How one worker process works. Spans are in microseconds here, seconds or text ("30s") when given.

    queues: the queues it works on; None (default): the queues of its app's tasks. A mapping, such as
        {"high": 5, "low": 1}, says how they share free slots: of six jobs started five are of "high", one of "low",
        and what one has no work for the other gets. A list shares evenly.
    order: "weighted" (default): as above; "strict": queues in the order of the list, a later one gets only what those
        before it leave, which may be nothing for as long as these have work.
    concurrency: async jobs at a time, default 100.
    threads: plain jobs at a time, each in a thread, default 16.
    processes: CPU-bound jobs at a time, each in a child process, default: the number of cores.
    lease: how long a job is safe from other workers without a beat, default 30 s (1 s to 1 h).
    grace: how long a stop waits for running jobs, default 30 s.
    poll: how often to look for work when no hint came, default 1 s.
    wait: how long a start waits for a store that is away, default 1 min; 0: it fails at once.
    max_jobs: leave (exit code 75) after so many jobs; None: never.
    max_memory: leave when the process is larger than so many bytes; None: never.
    drain_and_exit: leave when its queues hold no live job.
    signals: handle SIGTERM and SIGINT (first: stop gracefully; second: at once), default True.

    `weights` are those of the queues, in their order; empty where none were given.
    """

    queues: tuple[str, ...] | None = None
    weights: tuple[int, ...] = ()
    order: Literal["weighted", "strict"] = "weighted"
    concurrency: int = 100
    threads: int = 16
    processes: int = 0
    lease: int = 30 * SECOND
    grace: int = 30 * SECOND
    poll: int = SECOND
    wait: int = 60 * SECOND
    max_jobs: int | None = None
    max_memory: int | None = None
    drain_and_exit: bool = False
    signals: bool = True

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Options from what a person gives.

        Raises:
            ConfigError: every option that is unknown or cannot work.
        """
        problems: list[str] = []
        values: dict[str, Any] = {"processes": os.cpu_count() or 1}
        known = list(_READ)
        for name, value in given.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(known)}."
                problems.append(f"Unknown worker option {name!r}.{hint}")
            elif value is not None:
                try:
                    values[name] = _READ[name](value)
                except (ValueError, TypeError) as error:
                    problems.append(f"worker option {name}: {error}")
        lease, poll = values.get("lease", 30 * SECOND), values.get("poll", SECOND)
        unread = {name for name, value in given.items() if value is not None and name not in values}
        if poll > lease and unread.isdisjoint({"lease", "poll"}):
            problems.append("worker option poll must not be longer than lease, or expired jobs are found late.")
        queues = given.get("queues")
        if isinstance(queues, Mapping):
            values["weights"] = tuple(queues.values())
            problems += _weight_problems(queues)
        problems += _order_problems(values.get("order"), queues)
        if problems:
            raise ConfigError(problems)
        return cls(**values)


def _weight_problems(queues: Mapping[Any, Any]) -> list[str]:
    """The weights that are none."""
    return [
        f"worker option queues: {name!r} has the weight {weight!r}; it must be a whole number from 1 to {_HEAVIEST}."
        for name, weight in queues.items()
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= _HEAVIEST
    ]


def _order_problems(order: str | None, queues: Any) -> list[str]:
    """Why queues cannot be asked in strict order."""
    if order != "strict":
        return []
    if queues is None:
        return ['worker option order: "strict" needs the queues, the first one first: queues=["urgent", "default"].']
    if isinstance(queues, Mapping):
        remedy = f"Give the queues as a list, the first one first: queues={list(queues)}."
        return [f'worker option order: "strict" has no use for weights. {remedy}']
    return []


def per_worker_problems(name: str, run_in: str | None, per_worker: Any) -> list[str]:
    """Why `per_worker` of a task that runs there would change nothing; what is no number is told elsewhere."""
    most = MOST_SLOTS.get(run_in or "")
    if most is None or not isinstance(per_worker, int) or per_worker < most:
        return []
    reason = f'no worker runs more than {most} jobs at a time with run_in="{run_in}"'
    return [f"{name}: per_worker={per_worker} has no effect: {reason}. Give less, or leave it out."]


def app_problems(max_payload: Any, max_traceback: Any, retry: Any, retention: Any, queues: Any) -> list[str]:
    """What cannot work of an app's settings."""
    problems: list[str] = []
    if isinstance(max_payload, bool) or not isinstance(max_payload, int) or max_payload < 1:
        problems.append(f"max_payload={max_payload!r} must be a positive number of bytes.")
    if isinstance(max_traceback, bool) or not isinstance(max_traceback, int) or max_traceback < 0:
        problems.append(f"max_traceback={max_traceback!r} must be a number of characters; 0 keeps none.")
    try:
        RetryPolicy.of(3 if retry is None else retry)
    except (ValueError, TypeError) as error:
        problems.append(f"retry: {error}")
    if retention is not None and not isinstance(retention, Retention):
        problems.append(f"retention={retention!r} must be a Retention, such as Retention(completed=keep(100)).")
    if queues is not None and not isinstance(queues, Mapping):
        problems.append(f'queues={queues!r} must be a mapping, such as {{"email": Retention(...)}}.')
        return problems
    for name, value in (queues or {}).items():
        try:
            check_name(name, "a queue name")
        except (ValueError, TypeError) as error:
            problems.append(f"queues: {error}")
        if not isinstance(value, Retention):
            problems.append(f"queues[{name!r}]={value!r} must be a Retention, such as Retention(completed=keep(100)).")
    return problems


def _whole(least: int, most: int) -> Any:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{value!r} is no whole number.")
        if not least <= value <= most:
            raise ValueError(f"{value} must be {least} to {most}.")
        return value

    return read


def _span(least: int, most: int) -> Any:
    def read(value: Any) -> int:
        span = micros(value)
        if not least <= span <= most:
            raise ValueError(f"{value!r} must be {least / SECOND:g} to {most / SECOND:g} seconds.")
        return span

    return read


def _size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value).lower())
    if not found or found[2] not in _SIZES or float(found[1]) == 0:
        raise ValueError(f'{value!r} is no size. Give bytes, or text such as "512MB" or "2GB".')
    return round(float(found[1]) * _SIZES[found[2]])


def _queues(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"{value!r} is one text. Give a list of names: [{value!r}].")
    queues = tuple(dict.fromkeys(check_name(one, "a queue name") for one in value))
    if not queues:
        raise ValueError("an empty list would never work. Leave it out for the queues of the app's tasks.")
    return queues


def _order(value: Any) -> str:
    if value not in ("weighted", "strict"):
        raise ValueError(f'{value!r} must be "weighted" or "strict".')
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} must be True or False.")
    return value


_READ: Final[dict[str, Any]] = {
    "queues": _queues,
    "concurrency": _whole(1, MOST_SLOTS["loop"]),
    "threads": _whole(1, MOST_SLOTS["thread"]),
    "processes": _whole(1, MOST_SLOTS["process"]),
    "order": _order,
    "lease": _span(SECOND, 3600 * SECOND),
    "grace": _span(0, 86_400 * SECOND),
    "poll": _span(SECOND // 100, 60 * SECOND),
    "wait": _span(0, 86_400 * SECOND),
    "max_jobs": _whole(1, 1 << 60),
    "max_memory": _size,
    "drain_and_exit": _flag,
    "signals": _flag,
}
