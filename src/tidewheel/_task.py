"""A task: a function that can be enqueued, with the settings its jobs get unless they say otherwise."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar

import msgspec

from tidewheel._flows import Measure, Named, check_in_line
from tidewheel._handle import JobHandle
from tidewheel._keys import Keys, digest
from tidewheel._model.duration import LONGEST, Span
from tidewheel._model.errors import ConfigError
from tidewheel._model.job import DEFAULT_PRIORITY, NewJob
from tidewheel._model.retention import Keep, Retention
from tidewheel._model.retry import RetryPolicy
from tidewheel._places import Turns, lead_of
from tidewheel._prepared import PreparedJob
from tidewheel._rules import Unique
from tidewheel._serde import Codec
from tidewheel._settings import DEFAULT_KEEPS, TaskSettings, changed

if TYPE_CHECKING:
    from tidewheel._app import App
    from tidewheel._batch import Batch

P = ParamSpec("P")
R = TypeVar("R")

RunIn: TypeAlias = Literal["loop", "thread", "process"]
"""Where a handler runs: async functions on the event loop, plain ones in a thread or, CPU-bound, in a process."""

DEAD_LETTER_KIND: Final = "tidewheel.dead_letter"


class Task(Generic[P, R]):
    """A function that can be enqueued. Made by `@app.task`; `task.fn` is the function itself."""

    batch: Batch | None = None
    """How its jobs are collected, when one call handles many of them."""

    def __init__(
        self,
        app: App,
        fn: Callable[..., Any],
        name: str,
        run_in: RunIn,
        settings: TaskSettings,
        *,
        limits: tuple[Named, ...] = (),
    ) -> None:
        self.app = app
        self.fn = fn
        self.name = name
        self.run_in: RunIn = run_in
        self.settings = settings
        self.limits = limits
        """The limits its jobs must pass, by the names they have in the store."""
        self.measure = Measure(name, fn, limits) if limits else None
        self.keys = Keys(name, fn, settings.rule) if settings.rule else None
        """Makes the keys of its jobs, when it has a rule for their enqueue."""
        self.turns = Turns(name, fn, settings.fair) if settings.fair else None
        """Says whose turn its jobs take, when tenants take turns."""
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
            LimitKeyError: a limit, or a rule, finds no key in them.
            DuplicateJob: another job holds its key, and its `Unique` says that this raises.
            QueueFull: as many jobs wait as its `Backlog` lets.
            StoreUnavailable, StoreFull, StoreError: the database did not take it; nothing was enqueued.
        """
        return await self.app.enqueue_one(self._plain.job(*args, **kwargs))

    def job(self, *args: P.args, **kwargs: P.kwargs) -> PreparedJob[R]:
        """The same as a value, for `app.enqueue_many`."""
        return self._plain.job(*args, **kwargs)

    async def pause(self) -> None:
        """Start no more of its jobs, in any queue, until `resume`; see `app.pauses.pause` for when that takes effect."""
        await self.app.pauses.pause(self.name)

    async def resume(self) -> None:
        """Start its jobs again."""
        await self.app.pauses.resume(self.name)

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
        unique: bool | str | Unique | None = None,
        idempotency_key: str | None = None,
        idempotency_ttl: Span | None = None,
        expires: Span | None = None,
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
            unique: at most one live job of this task with this key; `True` makes the key of the arguments; a `Unique` says
                more. `False`: no such rule.
            idempotency_key: names this one wish, as the id of a request does: for `idempotency_ttl` whoever enqueues with it
                again is answered with this job, also when it has ended long ago.
            idempotency_ttl: default 24 hours.
            expires: it may start within so long; what waits still then is cancelled (`tidewheel.Expired`).
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
            "timeout": timeout, "soft_timeout": soft_timeout, "unique": unique, "idempotency_key": idempotency_key,
            "idempotency_ttl": idempotency_ttl, "expires": expires, "tags": tags, "meta": meta, "retention": retention,
            "lifo": lifo,
        }  # fmt: skip
        settings = changed(self.settings, self.name, given, self.app.max_payload, per_job=True)
        check_in_line(self.name, self.limits, self.settings, settings)
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

    __slots__ = ("_keys", "_model", "_settings", "_task")

    def __init__(self, task: Task[P, R], settings: TaskSettings) -> None:
        self._task = task
        self._settings = settings
        self._keys = task.keys
        if settings.rule is not task.settings.rule:
            self._keys = None if settings.rule is None else Keys(task.name, task.fn, settings.rule)
        self._model: NewJob | None = None
        """What all its jobs have in common: a job is this with an id and arguments."""

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """See `Task.enqueue`; with `connection=`, also `App.enqueue_many`."""
        return await self._task.app.enqueue_one(self.job(*args, **kwargs))

    def job(self, *args: P.args, **kwargs: P.kwargs) -> PreparedJob[R]:
        """See `Task.job`."""
        task, settings, keys = self._task, self._settings, self._keys
        more: dict[str, Any] = {}
        payload, arguments = task.codec.encode_checked(args, kwargs)
        if task.measure is not None and task.measure.fixed is None:
            more["flow"] = task.measure.flow(arguments)
        if keys is not None:
            more["rule"] = keys.rule(settings.queue, payload, arguments)
        if task.turns is not None:
            more["fair"] = task.turns.turn(arguments)
        if settings.unique:
            more["unique_key"] = _unique_key(task.name, settings.unique, payload, arguments)
        model = self._model
        if model is None or model.on_dead != task.app.dead_letter_kind:
            model = self._model = self._make_model()
        job_id = settings.id or task.app.env.ids()
        new = msgspec.structs.replace(model, id=job_id, args=payload, **more)
        return PreparedJob(task, new, (), keys is not None and keys.strict)

    def _make_model(self) -> NewJob:
        settings = self._settings
        keep = settings.retention if settings.own_retention else None
        measure = self._task.measure
        return NewJob(
            id="",
            kind=self._task.name,
            args="",
            queue=settings.queue,
            priority=settings.priority if settings.ageing is None else DEFAULT_PRIORITY,
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
            flow=measure.fixed if measure else None,
            backlog=settings.backlog.stored(self._task.name, settings.queue) if settings.backlog else None,
            expires_in=settings.expires,
            lead=0 if settings.ageing is None or settings.lifo else lead_of(settings.priority, settings.ageing),
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


def _own_time(keep: Keep) -> int | None:
    """A single job's retention as the store has it: a time, or None where only the rules count."""
    if keep in DEFAULT_KEEPS:  # not given: `Retention(completed=...)` says nothing about failed jobs
        return None
    if keep.count == 0:
        return 0
    return LONGEST if keep.age is None else keep.age


def _unique_key(name: str, key: str | Literal[True], payload: str, arguments: Any) -> str:
    if key is True:
        key = digest(payload, arguments)
    return f"{name}:{key}"
