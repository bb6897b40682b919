"""The app: the registry of tasks, the door to the store, and the place where everything is put together."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar, overload

from tidewheel._admin import DeadLetter, DeadLetters, Jobs, Queues, Workers
from tidewheel._batch import Batch
from tidewheel._batch_task import MakeBatchTask
from tidewheel._check import Problem, check_app
from tidewheel._config import WorkerOptions, app_problems
from tidewheel._enqueueing import Enqueuing
from tidewheel._env import Env
from tidewheel._flows import Declarations
from tidewheel._limits import Breaker, Limit, Rate
from tidewheel._limits_admin import Limits
from tidewheel._model.duration import Span, micros
from tidewheel._model.errors import ConfigError, StoreError
from tidewheel._model.job import Job
from tidewheel._model.query import StoreInfo
from tidewheel._model.retention import Retention
from tidewheel._model.retry import RetryPolicy
from tidewheel._pauses import Pauses
from tidewheel._places import Fair
from tidewheel._portal import Portal
from tidewheel._registering import make_task
from tidewheel._results import Results
from tidewheel._rules import Backlog, Debounce, KeepLast, Throttle, Unique
from tidewheel._serde import MAX_PAYLOAD
from tidewheel._settings import TaskSettings
from tidewheel._slots import Holder
from tidewheel._stores import make_store, shown_url
from tidewheel._task import DEAD_LETTER_KIND, AsyncTask, P, R, RunIn, SyncTask, Task
from tidewheel._telemetry import Listener, Telemetry

if TYPE_CHECKING:
    from tidewheel._engine.worker import Worker
    from tidewheel._store.base import Store

T = TypeVar("T")
MAX_TRACEBACK: Final = 16_384
"""Characters of stack trace kept for a failed attempt, unless the app says otherwise."""


class App(Enqueuing):
    """Tasks and the store their jobs live in.

    Args:
        url: where jobs live: `sqlite:///jobs.db` (relative), `sqlite:////var/jobs.db` (absolute),
            `postgresql://user@host/database`, `memory://`.
        retry: the policy of tasks that have none of their own; default 3 attempts, 1 s doubling, at most 1 h.
        retention: how long ended jobs are kept, for tasks that do not say; default 1000 completed jobs or
            24 h, and 5000 failed ones, per queue and task.
        queues: retention of single queues, by name; a task's own wins.
        max_payload: bytes of JSON that arguments or a result may have; default 256 KiB.
        max_traceback: characters kept of the stack trace of a failed attempt, the newest ones; default 16 384.
        env: clock, ids and random source; tests replace them.

    Raises:
        ConfigError: a URL and every setting that cannot work, at once.
    """

    def __init__(
        self,
        url: str = "sqlite:///tidewheel.db",
        *,
        retry: RetryPolicy | int | None = None,
        retention: Retention | None = None,
        queues: Mapping[str, Retention] | None = None,
        max_payload: int = MAX_PAYLOAD,
        max_traceback: int = MAX_TRACEBACK,
        env: Env | None = None,
    ) -> None:
        self.url = url
        self.env = env or Env()
        problems = app_problems(max_payload, max_traceback, retry, retention, queues)
        try:
            self._store: Store = make_store(url, self.env)
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        self.max_payload = max_payload
        self.max_traceback = max_traceback
        self.retention = retention or Retention()
        self.queue_retention: Mapping[str, Retention] = MappingProxyType(dict(queues or {}))
        self.telemetry = Telemetry(self.env.clock)
        self.jobs = Jobs(self)
        self.queues = Queues(self)
        self.dead_letters = DeadLetters(self)
        self.workers = Workers(self)
        self.declarations = Declarations()
        self.limits = Limits(self)
        self.pauses = Pauses(self)
        self._defaults = TaskSettings(retry=RetryPolicy.of(retry if retry is not None else RetryPolicy()))
        self._tasks: dict[str, Task[..., Any]] = {}
        self.dead_letter_kind: str | None = None
        """The task that is told of dead letters, if there is one."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._opening: asyncio.Lock | None = None
        self._results: Results | None = None
        self._holder: Holder | None = None
        self._portal = Portal()

    def __repr__(self) -> str:
        return f"<App {shown_url(self.url)} with {len(self._tasks)} tasks>"

    # -- tasks

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """The tasks by name."""
        return MappingProxyType(self._tasks)

    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def task(self, fn: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(
        self,
        fn: None = None,
        /,
        *,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        retry: RetryPolicy | int | None = None,
        timeout: Span | None = None,
        soft_timeout: Span | None = None,
        run_in: RunIn | None = None,
        unique: bool | str | Unique | None = None,
        throttle: Throttle | None = None,
        debounce: Debounce | None = None,
        keep_last: bool | KeepLast | None = None,
        expires: Span | None = None,
        backlog: int | Backlog | None = None,
        tags: Iterable[str] | None = None,
        retention: Retention | None = None,
        max_crashes: int | None = None,
        per_worker: int | None = None,
        fair: Fair | None = None,
        ageing: Span | None = None,
        concurrency: int | Limit | Sequence[int | Limit] | None = None,
        rate: Rate | Sequence[Rate] | None = None,
        breaker: Breaker | Sequence[Breaker] | None = None,
    ) -> _Decorator: ...

    @overload
    def task(
        self,
        fn: None = None,
        /,
        *,
        batch: Batch,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        retry: RetryPolicy | int | None = None,
        timeout: Span | None = None,
        soft_timeout: Span | None = None,
        run_in: RunIn | None = None,
        unique: bool | str | Unique | None = None,
        throttle: Throttle | None = None,
        debounce: Debounce | None = None,
        keep_last: bool | KeepLast | None = None,
        expires: Span | None = None,
        backlog: int | Backlog | None = None,
        tags: Iterable[str] | None = None,
        retention: Retention | None = None,
        max_crashes: int | None = None,
        per_worker: int | None = None,
        fair: Fair | None = None,
        ageing: Span | None = None,
        concurrency: int | Limit | Sequence[int | Limit] | None = None,
        rate: Rate | Sequence[Rate] | None = None,
        breaker: Breaker | Sequence[Breaker] | None = None,
    ) -> MakeBatchTask: ...

    def task(self, fn: Any = None, /, **given: Any) -> Any:
        """Make a task of a function: `@app.task` or `@app.task(queue="email", retry=5, ...)`.

        Args:
            fn: the function.
            **given: what follows, by name.
            name: what jobs call it (their *kind*); default: the function's name. Keep it when you rename the function.
            queue: where its jobs wait; default "default".
            priority: 1 (first) to 1000 (last); default 100.
            retry: a `RetryPolicy`, or a number of attempts; default: the app's.
            timeout: an attempt may take so long (seconds, or "30s"), then it is ended and retried; default: no limit.
            soft_timeout: after so long the handler is asked to wind up (`current_job().cancelled`).
            run_in: "loop" (async functions), "thread" (plain ones), or "process" for CPU-bound plain functions.
            unique: at most one live job of the task (with the same arguments: `True`; or under a fixed key); a `Unique` says
                by what key, for how long, and what becomes of the others.
            throttle: drop what is enqueued above so many jobs in a time: a `Throttle`.
            debounce: run once it has been quiet for a while: a `Debounce`.
            keep_last: one runs, and of those behind it only the newest stays: `True`, or a `KeepLast`. A task has one of
                these four at most.
            expires: a job that has not started after so long is cancelled (`tidewheel.Expired`); default: never.
            backlog: at most so many jobs wait: a number, or a `Backlog`.
            tags: words to find its jobs by.
            retention: how long its ended jobs are kept.
            max_crashes: so many lost workers make a dead letter of a job; default 3.
            per_worker: at most so many attempts at once in each worker process; others go on. Default: no limit of its own.
            fair: tenants take turns in the line, however many jobs each has: a `Fair`.
            ageing: so long a wait is worth one step of priority (seconds, or "1m"), so that nothing waits for ever.
            batch: the function handles many jobs in one call: a `Batch`. It takes a list, each job is one item of it.
            concurrency: at most so many attempts at once, wherever they run: a number, a `Limit`, or several.
            rate: at most so many starts in a time: a `Rate`, or several. A job starts when all its limits let it.
            breaker: nothing starts for a while after so many failures: a `Breaker`, or several.

        Raises:
            ConfigError: every setting that cannot work, at once, or a name that is taken.
        """
        if fn is None:
            return lambda function: self._register(function, given)
        return self._register(fn, given)

    def _register(self, fn: Callable[..., Any], given: Mapping[str, Any]) -> Task[..., Any]:
        task = make_task(self, self._defaults, fn, given)
        self._tasks[task.name] = task
        self.declarations.add(task.limits)
        return task

    def retention_of(self, task: Task[..., Any], queue: str) -> Retention:
        """What holds for ended jobs of a task in a queue: the task's own word, the queue's, or the app's."""
        if task.settings.retention is not self._defaults.retention:
            return task.settings.retention
        return self.queue_retention.get(queue, self.retention)

    def on_dead_letter(self, fn: Callable[[DeadLetter], Awaitable[None] | None]) -> Callable[..., Any]:
        """Have `fn(dead)` called for every job that is given up: `@app.on_dead_letter`.

        The call is a job itself, enqueued in the same write that gives up the other, so a crash cannot lose
        it; it is tried 5 times. Jobs enqueued before the handler existed are not covered.

        Raises:
            ConfigError: there is one already.
        """
        name = getattr(fn, "__qualname__", repr(fn))

        async def tell(job_id: str) -> None:
            dead = await self.dead_letters.get(job_id)
            if dead is not None:
                told = fn(dead) if inspect.iscoroutinefunction(fn) else await asyncio.to_thread(fn, dead)
                if inspect.isawaitable(told):
                    await told

        tell.__doc__ = f"Calls {name} for a dead letter."
        self._register(tell, {"name": DEAD_LETTER_KIND, "run_in": "loop", "retry": 5})
        self.dead_letter_kind = DEAD_LETTER_KIND
        return fn

    # -- results

    async def ended(self, job_id: str, kind: str, timeout: Span | None) -> Job:
        """Wait until a job has ended. See `JobHandle.result`."""
        await self.opened()
        assert self._results is not None  # noqa: S101 -- opened() made it
        return await self._results.ended(job_id, kind, None if timeout is None else micros(timeout) / 1_000_000)

    def run_sync(self, work: Coroutine[Any, Any, T]) -> T:
        """Run any of the coroutines of this app from sync code, such as a Flask view or a plain task:
        `job = app.run_sync(send.enqueue("ada@example.org"))`.

        Raises:
            RuntimeError: called from async code; use `await` there.
        """
        try:
            self._check_process()
        except StoreError:
            work.close()
            raise
        loop = self._loop if self._loop is not None and self._loop.is_running() else None
        return self._portal.run(work, loop)

    # -- life

    async def opened(self) -> Store:
        """The store, opened for the running event loop.

        Raises:
            SchemaMismatch, StoreUnavailable, StoreError: it cannot be used.
        """
        self._check_process()
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._results is not None:
            return self._store
        if self._loop is not None and self._loop is not loop and self._loop.is_running() and self._busy(self._loop):
            raise ConfigError(
                "This app is open in another event loop that still runs. Use one loop, `app.run_sync(...)` from other "
                "threads, or a second App; or `await app.close()` there first."
            )
        if self._loop is not loop:
            self._loop, self._opening, self._process = loop, asyncio.Lock(), os.getpid()
            self._results = self._holder = None
        assert self._opening is not None  # noqa: S101 -- set with the loop
        async with self._opening:
            if self._results is None:
                await self._store.open()
                self._results = Results(self._store)
        return self._store

    @property
    def slot_holder(self) -> Holder:
        """What keeps the slots that are held by hand in this event loop."""
        self._holder = self._holder or Holder(self)
        return self._holder

    async def ready(self) -> Store:
        """The same, and it knows the limits of the tasks: for whoever puts work in or takes it out."""
        store = await self.opened()
        if self.declarations.pending:
            await self.declarations.tell(store)
        return store

    def _check_process(self) -> None:
        """Threads do not come along in a fork: without this word a call would wait for ever."""
        if self._loop is not None and self._process != os.getpid():
            raise StoreError(
                "This process was forked from one in which the app is open; connections and threads do not survive that. "
                "Use the start method 'spawn', or `await app.close()` before the fork."
            )

    def _busy(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether somebody needs the app in that loop. The loop of `run_sync` runs for ever, but hands it over."""
        return not self._portal.idle(loop)

    async def close(self) -> None:
        """Let go of the store. Safe to call twice; the next use opens it again."""
        if self._results is not None:
            results, self._results = self._results, None
            await results.close()
            if self._holder is not None:
                await self._holder.close()
                self._holder = None
            await self._store.close()
            self.declarations.forget()
        self._loop = None

    async def __aenter__(self) -> Self:
        await self.opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def info(self) -> StoreInfo:
        """Version, schema, clock and durability of the store."""
        return await (await self.opened()).info()

    async def migrate(self) -> tuple[int, int]:
        """Bring the store's schema up to date; gives the version before and after."""
        return await self._store.migrate()

    def check(self) -> list[Problem]:
        """Everything about this app that is wrong or doubtful, without touching the store."""
        return check_app(self)

    def on(self, event: str, listener: Listener) -> None:
        """Call `listener(event)` in this process whenever `event` happens; see `EVENTS`.

        Raises:
            ValueError: no such event.
        """
        self.telemetry.on(event, listener)

    def worker(self, **options: Any) -> Worker:
        """A worker for this app; `await worker.run()` runs it until it is told to stop. See `WorkerOptions`.

        Raises:
            ConfigError: every option that cannot work, at once.
        """
        from tidewheel._engine.worker import Worker

        return Worker(self, WorkerOptions.of(**options))


class _Decorator(Protocol):
    """What `@app.task(...)` gives: keeps the signature of async and plain functions apart for type checkers."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncTask[P, R]: ...
