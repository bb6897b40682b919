"""A task: a function that can be enqueued, with the settings its jobs get unless they say otherwise."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar

import msgspec

from tidewheel._handle import JobHandle
from tidewheel._model.duration import LONGEST, Span, micros
from tidewheel._model.errors import ConfigError, TidewheelError
from tidewheel._model.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, FIRST_PRIORITY, LAST_PRIORITY, NewJob
from tidewheel._model.retention import Keep, Retention
from tidewheel._model.retry import RetryPolicy
from tidewheel._names import check_name
from tidewheel._serde import Codec, encode

if TYPE_CHECKING:
    from tidewheel._app import App

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

RunIn: TypeAlias = Literal["loop", "thread", "process"]
"""Where a handler runs: async functions on the event loop, plain ones in a thread or, CPU-bound, in a process."""

DEAD_LETTER_KIND: Final = "tidewheel.dead_letter"
DEFAULT_RETRY: Final = RetryPolicy()
DEFAULT_RETENTION: Final = Retention()
_DEFAULT_KEEPS: Final = (DEFAULT_RETENTION.completed, DEFAULT_RETENTION.failed)


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
    delay: int = 0
    run_at: int | None = None
    id: str | None = None
    meta: str | None = None
    lifo: bool = False
    options: str | None = None
    own_retention: bool = False


class PreparedJob(msgspec.Struct, Generic[R_co], frozen=True, gc=False):
    """A job that is ready for `app.enqueue_many`, with the task it is of."""

    task: Task[..., R_co]
    new: NewJob


class Task(Generic[P, R]):
    """A function that can be enqueued. Made by `@app.task`; `task.fn` is the function itself."""

    def __init__(self, app: App, fn: Callable[..., Any], name: str, run_in: RunIn, settings: TaskSettings) -> None:
        self.app = app
        self.fn = fn
        self.name = name
        self.run_in: RunIn = run_in
        self.settings = settings
        self._plain: Configured[P, R] = Configured(self, settings)
        self._codec: Codec | None = None
        self.__doc__ = fn.__doc__
        self.__name__ = getattr(fn, "__name__", name)
        self.__qualname__ = getattr(fn, "__qualname__", name)
        self.__module__ = fn.__module__
        self.__wrapped__ = fn

    def __repr__(self) -> str:
        return f"<Task {self.name} on queue {self.settings.queue}>"

    @property
    def codec(self) -> Codec:
        """How its calls travel. Made at the first use, when all names in the type hints exist."""
        if self._codec is None:
            self._codec = Codec(self.name, self.fn, self.app.max_payload)
        return self._codec

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Add a job that calls the function with these arguments.

        Raises:
            TypeError: the arguments do not fit the function.
            EncodeError, PayloadTooLarge: they cannot be stored.
            StoreUnavailable, StoreFull, StoreError: the database did not take it; nothing was enqueued.
        """
        return await self.app.enqueue_one(self._plain.job(*args, **kwargs))

    def job(self, *args: P.args, **kwargs: P.kwargs) -> PreparedJob[R]:
        """The same as a value, for `app.enqueue_many`."""
        return self._plain.job(*args, **kwargs)

    def options(
        self,
        *,
        id: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: Span | None = None,
        run_at: datetime | None = None,
        retry: RetryPolicy | int | None = None,
        timeout: Span | None = None,
        soft_timeout: Span | None = None,
        unique: bool | str | None = None,
        tags: Iterable[str] | None = None,
        meta: Mapping[str, Any] | None = None,
        retention: Retention | None = None,
        lifo: bool | None = None,
        connection: object | None = None,
    ) -> Configured[P, R]:
        """The task with other settings for the jobs enqueued through it.

        Args:
            id: the job's id, up to 200 characters. A job with this id that exists already is answered instead.
            queue: name of the queue.
            priority: 1 (first) to 1000 (last); 100 unless set.
            delay: run it so much later (seconds, or "10m").
            run_at: run it then; a datetime with time zone.
            retry: a policy, or a number of attempts.
            timeout: end an attempt after so long; the job is retried.
            soft_timeout: ask an attempt to wind up after so long: `current_job().cancelled` becomes true.
            unique: at most one live job of this task with this key; `True` makes the key of the arguments.
            tags: words to find jobs by.
            meta: an object to keep with the job.
            retention: how long to keep the job when it has ended.
            lifo: before the waiting jobs of its priority, not behind them.
            connection: enqueue in the transaction that is open on this connection of yours to the app's database
                (sqlite3, asyncpg, psycopg or SQLAlchemy): your commit makes the job, your rollback makes none.

        Raises:
            ConfigError: every value that cannot work, at once.
        """
        given = {
            "id": id, "queue": queue, "priority": priority, "delay": delay, "run_at": run_at, "retry": retry,
            "timeout": timeout, "soft_timeout": soft_timeout, "unique": unique, "tags": tags, "meta": meta,
            "retention": retention, "lifo": lifo,
        }  # fmt: skip
        settings = changed(self.settings, self.name, given, self.app.max_payload, per_job=True)
        return Configured(self, settings) if connection is None else _InTransaction(self, settings, connection)


class AsyncTask(Task[P, R]):
    """A task whose function is async."""

    fn: Callable[P, Coroutine[Any, Any, R]]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Call the function here and now, without any queue."""
        called: Coroutine[Any, Any, R] = self.fn(*args, **kwargs)
        return called


class SyncTask(Task[P, R]):
    """A task whose function is plain."""

    fn: Callable[P, R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now, without any queue."""
        result: R = self.fn(*args, **kwargs)
        return result


class Configured(Generic[P, R]):
    """A task with other settings, from `task.options(...)`."""

    __slots__ = ("_model", "_settings", "_task")

    def __init__(self, task: Task[P, R], settings: TaskSettings) -> None:
        self._task = task
        self._settings = settings
        self._model: NewJob | None = None
        """What all its jobs have in common: a job is this with an id and arguments."""

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """See `Task.enqueue`; with `connection=`, also `App.enqueue_many`."""
        return await self._task.app.enqueue_one(self.job(*args, **kwargs))

    def job(self, *args: P.args, **kwargs: P.kwargs) -> PreparedJob[R]:
        """See `Task.job`."""
        task, settings = self._task, self._settings
        payload = task.codec.encode_call(args, kwargs)
        model = self._model
        if model is None or model.on_dead != task.app.dead_letter_kind:
            model = self._model = self._make_model()
        job_id = settings.id or task.app.env.ids()
        if settings.unique:
            key = _unique_key(task.name, payload, settings.unique)
            return PreparedJob(task, msgspec.structs.replace(model, id=job_id, args=payload, unique_key=key))
        return PreparedJob(task, msgspec.structs.replace(model, id=job_id, args=payload))

    def _make_model(self) -> NewJob:
        settings = self._settings
        keep = settings.retention if settings.own_retention else None
        return NewJob(
            id="",
            kind=self._task.name,
            args="",
            queue=settings.queue,
            priority=settings.priority,
            delay=settings.delay,
            run_at=settings.run_at,
            lifo=settings.lifo,
            max_attempts=settings.retry.attempts,
            max_crashes=settings.max_crashes,
            tags=settings.tags,
            meta=settings.meta,
            options=settings.options,
            keep_completed=_own_time(keep.completed) if keep else None,
            keep_failed=_own_time(keep.failed) if keep else None,
            on_dead=self._task.app.dead_letter_kind,
        )


class _InTransaction(Configured[P, R]):
    """The same, with a connection of the caller's."""

    __slots__ = ("_connection",)

    def __init__(self, task: Task[P, R], settings: TaskSettings, connection: object) -> None:
        super().__init__(task, settings)
        self._connection = connection

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        prepared = super().job(*args, **kwargs)
        (handle,) = await self._task.app.enqueue_many([prepared], connection=self._connection)
        return handle

    def job(self, *_args: P.args, **_kwargs: P.kwargs) -> PreparedJob[R]:
        raise ConfigError(
            f"{self._task.name}: a prepared job carries no connection. Give it to the call that enqueues: "
            "app.enqueue_many(jobs, connection=...) or app.enqueue_in(connection, jobs)."
        )


def new_jobs(prepared: Sequence[Any]) -> list[NewJob]:
    """What the store is given for prepared jobs.

    Raises:
        TypeError: something else is among them.
    """
    try:
        return [one.new for one in prepared]
    except AttributeError:
        wrong = next(one for one in prepared if not isinstance(one, PreparedJob))
        if inspect.iscoroutine(wrong):
            wrong.close()
        raise TypeError(
            f"enqueue_many() got {wrong!r}, which is no prepared job. Make them with task.job(...), not task.enqueue(...)."
        ) from None


def _own_time(keep: Keep) -> int | None:
    """A single job's retention as the store has it: a time, or None where only the rules count."""
    if keep in _DEFAULT_KEEPS:  # not given: `Retention(completed=...)` says nothing about failed jobs
        return None
    if keep.count == 0:
        return 0
    return LONGEST if keep.age is None else keep.age


def _unique_key(name: str, payload: str, key: str | Literal[True]) -> str:
    if key is True:
        key = hashlib.sha256(payload.encode()).hexdigest()[:32]
    return f"{name}:{key}"


def where_to_run(fn: Callable[..., Any], run_in: RunIn | None, name: str) -> RunIn:
    """Where a function runs when its task does not say, or whether what it says can work.

    Raises:
        ConfigError: an async function in a thread, a plain one on the loop, or something unknown.
    """
    is_async = inspect.iscoroutinefunction(fn)
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise ConfigError(f"{name} is a generator: nobody would run its body. Return a list, or a plain value.")
    if run_in is None:
        return "loop" if is_async else "thread"
    if run_in not in ("loop", "thread", "process"):
        raise ConfigError(f'{name}: run_in={run_in!r} must be "loop", "thread" or "process".')
    if is_async and run_in != "loop":
        raise ConfigError(f"{name} is async, so it runs on the event loop; run_in={run_in!r} needs a plain function.")
    if not is_async and run_in == "loop":
        raise ConfigError(f'{name} is a plain function and would block the event loop; use run_in="thread".')
    return run_in


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
        if any(keep.count not in (None, 0) for keep in own if keep not in _DEFAULT_KEEPS):
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
}
