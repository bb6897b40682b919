"""Rules for enqueuing, as code declares them: one job at a time by key (`Unique`), so many in a time (`Throttle`), the last
word after a silence (`Debounce`), the newest while one runs (`KeepLast`), and how many may wait (`Backlog`).

A task has at most one of the first four. All that they decide is decided in the write that enqueues the job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from tidewheel._limits import refuse, span_problem, whole_problem
from tidewheel._model import enqueue_rule as model
from tidewheel._model.duration import Span, human, micros
from tidewheel._paths import Source, source_problem

Scope: TypeAlias = Literal["task", "queue"]
Conflict: TypeAlias = Literal["existing", "raise", "replace", "reschedule", "cancel"]
Replace: TypeAlias = Mapping[Literal["scheduled", "available", "retryable"], Sequence[model.Field]]

_SCOPES: Final = get_args(Scope)
_CONFLICTS: Final = get_args(Conflict)
_HOLDS: Final = ("waiting", "live", "any")
_ON_FULL: Final = ("reject", "drop_oldest")
_WORDS: Final[tuple[model.Field, ...]] = ("args", "meta", "tags", "priority")
_TAKE_OVER: Final[Mapping[str, tuple[model.Field, ...]]] = {
    "scheduled": (*_WORDS, "run_at"),
    "available": _WORDS,
    "retryable": _WORDS,
}
"""What a new job makes of one that waits, when nobody says more: everything it can, but for the time of a retry."""
_RESCHEDULE: Final[Mapping[str, tuple[model.Field, ...]]] = {"scheduled": ("run_at",), "retryable": ("run_at",)}
_FIELDS: Final = {"scheduled": _TAKE_OVER["scheduled"], "available": _WORDS, "retryable": (*_WORDS, "run_at")}


@dataclass(frozen=True, slots=True)
class Unique:
    """At most one job for each key.

    Args:
        key: a path over the handler's arguments (`"args.tenant"`), or a function of the arguments by name; default: all
            arguments, so that two calls with the same ones are the same job.
        holds: how long a job holds its key: "live" (default) until it has ended, "waiting" until it starts, "any" until it
            is deleted or pruned.
        period: it holds at least so long, also when the job has ended sooner.
        scope: "task" (default), or "queue": among all tasks of the job's queue that say so.
        on_conflict: what an enqueue does that finds the key held. "existing" (default): it answers with the job that holds
            it. "raise": it raises `DuplicateJob`. "replace": the job that holds it takes over what the new one says, see
            `replace`. "reschedule": it takes over its time alone. "cancel": it is cancelled, a running one is asked to
            stop, and the new job comes in.
        replace: for "replace": what a job takes over, by the state it is in (scheduled; available, which stands for jobs
            parked by a limit, too; retryable), of args, meta, tags, priority and run_at (not when it is available). In
            states that are left out it stays as it is. Default: everything, but for the run_at of a retryable one.
            A job that runs, or has ended, never changes.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    key: Source | None = None
    holds: Literal["waiting", "live", "any"] = "live"
    period: Span | None = None
    scope: Scope = "task"
    on_conflict: Conflict = "existing"
    replace: Replace | None = None

    def __post_init__(self) -> None:
        wrong = [*_key_problem(self.key), *_choice("holds", self.holds, _HOLDS), *_choice("scope", self.scope, _SCOPES)]
        wrong += _choice("on_conflict", self.on_conflict, _CONFLICTS)
        if self.period is not None:
            wrong += span_problem("period", self.period, "A key without a period holds as long as `holds` says.")
            if self.on_conflict == "cancel":
                wrong.append("period means nothing with on_conflict='cancel': the new job always comes in. Drop one.")
        if self.replace is not None:
            wrong += _replace_problems(self.replace, self.on_conflict)
        if self.scope == "queue" and self.on_conflict == "replace" and _takes(self.replace, "args"):
            wrong.append(
                "scope='queue' with a replace of args could give a job the arguments of another task. Use scope='task', or "
                "leave args out of replace=."
            )
        refuse(self, wrong)

    @property
    def rule(self) -> model.EnqueueRule:
        """What the store is told, but for the key."""
        period = 0 if self.period is None else micros(self.period)
        if self.on_conflict in ("existing", "raise"):
            return model.EnqueueRule(key="", holds=self.holds, period=period)
        if self.on_conflict == "cancel":
            return model.EnqueueRule(key="", holds=self.holds, on_conflict="cancel")
        changes = _RESCHEDULE if self.on_conflict == "reschedule" else _plain(self.replace)
        return model.EnqueueRule(key="", holds=self.holds, period=period, on_conflict="replace", replace=changes)


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most `count` jobs enqueued in each window of `per`, which begins with the first of them; those that come after
    are dropped: `handle.created` is False, and `handle.reset_at` says when the next window begins.

    A job that has to run all the same, only later, wants a `Rate`.

    Args:
        count: so many jobs; 1 or more.
        per: the time, in seconds or as text ("10s").
        key: when given, so many *for each key*: see `Unique`. Default: of all jobs of the task.
        scope: see `Unique`.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    count: int
    per: Span
    key: Source | None = None
    scope: Scope = "task"

    def __post_init__(self) -> None:
        wrong = [*whole_problem("count", self.count), *span_problem("per", self.per, "Give '10s', say.")]
        refuse(self, [*wrong, *_key_problem(self.key), *_choice("scope", self.scope, _SCOPES)])

    @property
    def rule(self) -> model.EnqueueRule:
        """What the store is told, but for the key."""
        return model.EnqueueRule(key="", holds="none", period=micros(self.per), count=self.count)


@dataclass(frozen=True, slots=True)
class Debounce:
    """Run once it has been quiet for `wait`: each enqueue of the same key starts the wait again, and the job runs with what
    the last one said. An enqueue that comes while the job runs makes a new one.

    Args:
        wait: the silence, in seconds or as text ("30s").
        key: when given, a wait of its own *for each key*: see `Unique`. Default: all jobs of the task are one.
        max_wait: the job runs so long after the first enqueue at the latest; `wait` or more. Default: no such bound.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    wait: Span
    key: Source | None = None
    max_wait: Span | None = None

    def __post_init__(self) -> None:
        wrong = span_problem("wait", self.wait, "Without a wait there is nothing to wait for: leave debounce out.")
        longest = [] if self.max_wait is None else span_problem("max_wait", self.max_wait, "Leave it out for no bound.")
        if self.max_wait is not None and not wrong and not longest and micros(self.max_wait) < micros(self.wait):
            text, wait = human(micros(self.max_wait)), human(micros(self.wait))
            longest = [f"max_wait={text} is less than wait={wait}. Give {wait} or more."]
        refuse(self, [*wrong, *longest, *_key_problem(self.key)])

    @property
    def scope(self) -> Scope:
        """It takes over arguments, so it is among the jobs of one task."""
        return "task"

    @property
    def rule(self) -> model.EnqueueRule:
        """What the store is told, but for the key."""
        longest = 0 if self.max_wait is None else micros(self.max_wait)
        return model.EnqueueRule(key="", holds="waiting", on_conflict="replace", replace=_TAKE_OVER, max_wait=longest)


@dataclass(frozen=True, slots=True)
class KeepLast:
    """One job runs and at most one waits behind it, which says what the last enqueue said: for work that makes what came
    before it stale, such as building an index or a preview.

    Args:
        key: when given, so for each key: see `Unique`. Default: of all jobs of the task.

    Raises:
        ConfigError: the key is none.
    """

    key: Source | None = None

    def __post_init__(self) -> None:
        refuse(self, _key_problem(self.key))

    @property
    def scope(self) -> Scope:
        """It takes over arguments, so it is among the jobs of one task."""
        return "task"

    @property
    def rule(self) -> model.EnqueueRule:
        """What the store is told, but for the key."""
        return model.EnqueueRule(key="", holds="waiting", on_conflict="replace", replace=_TAKE_OVER)


@dataclass(frozen=True, slots=True)
class Idempotent:
    """What `options(idempotency_key=...)` means: the key is taken for a time, whatever becomes of the job."""

    word: str
    ttl: int
    key: None = None
    scope: Scope = "task"

    @property
    def rule(self) -> model.EnqueueRule:
        """What the store is told, but for the key."""
        return model.EnqueueRule(key="", holds="none", period=self.ttl)


AnyRule: TypeAlias = Unique | Throttle | Debounce | KeepLast | Idempotent


@dataclass(frozen=True, slots=True)
class Backlog:
    """At most `most` jobs that wait: for a worker, for their time, for a limit, or for their next attempt.

    Args:
        most: so many; 1 or more.
        on_full: "reject" (default): the enqueue raises `QueueFull`. "drop_oldest": the one that was enqueued first of those
            that wait is cancelled, and the new one comes in.
        of: "task" (default), or "queue": the jobs of all tasks that say so, in the job's queue.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    most: int
    on_full: Literal["reject", "drop_oldest"] = "reject"
    of: Scope = "task"

    def __post_init__(self) -> None:
        wrong = [*whole_problem("most", self.most), *_choice("on_full", self.on_full, _ON_FULL)]
        refuse(self, [*wrong, *_choice("of", self.of, _SCOPES)])

    def stored(self, task: str, queue: str) -> model.Backlog:
        """What the store is told of a job."""
        name = f"task:{task}" if self.of == "task" else f"queue:{queue}"
        return model.Backlog(name, self.most, self.on_full == "drop_oldest")


def _plain(replace: Replace | None) -> Mapping[str, tuple[model.Field, ...]]:
    return _TAKE_OVER if replace is None else {state: tuple(fields) for state, fields in replace.items()}


def _takes(replace: Replace | None, field: str) -> bool:
    return replace is None or any(field in fields for fields in replace.values())


def _key_problem(key: Any) -> list[str]:
    problem = "" if key is None else source_problem(key)
    return [f"key: {problem}"] if problem else []


def _choice(what: str, value: object, choices: Sequence[str]) -> list[str]:
    if isinstance(value, str) and value in choices:
        return []
    return [f"{what}={value!r} must be {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}."]


def _replace_problems(replace: object, on_conflict: str) -> list[str]:
    if on_conflict != "replace":
        return [f"replace= means something with on_conflict='replace' only, and it is {on_conflict!r}. Drop one."]
    if not isinstance(replace, Mapping) or not replace:
        return [
            f"replace={replace!r} must say what changes in which state, such as {{'scheduled': ('args', 'run_at')}}."
        ]
    wrong = []
    for state, fields in replace.items():
        if state not in _FIELDS:
            wrong.append(f"replace: {state!r} is no state in which a job can change. There are: {', '.join(_FIELDS)}.")
        elif isinstance(fields, str) or not isinstance(fields, Sequence):
            wrong.append(f"replace[{state!r}]={fields!r} must be a list of fields: [{fields!r}].")
        elif not fields:
            wrong.append(f"replace[{state!r}]={fields!r} changes nothing. Name fields, or leave the state out.")
        else:
            allowed = cast("Sequence[object]", _FIELDS[state])
            bad = [repr(field) for field in fields if field not in allowed]
            if bad:
                what = f"{', '.join(bad)} cannot change there"
                wrong.append(f"replace[{state!r}]: {what}. It takes: {', '.join(_FIELDS[state])}.")
    return wrong
