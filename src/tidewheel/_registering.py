"""Making a task of a function: everything that is checked when `@app.task` is read."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tidewheel._batch import batch_problems
from tidewheel._batch_task import BatchTask
from tidewheel._config import per_worker_problems
from tidewheel._flows import Named, check_in_line, limits_of
from tidewheel._keys import Keys
from tidewheel._limits import Limit
from tidewheel._model.errors import ConfigError
from tidewheel._names import check_name
from tidewheel._places import Turns
from tidewheel._rules import KeepLast
from tidewheel._settings import TaskSettings, changed
from tidewheel._task import AsyncTask, RunIn, SyncTask, Task

if TYPE_CHECKING:
    from tidewheel._app import App


_OWN: Final = ("name", "run_in", "concurrency", "rate", "breaker", "batch")
"""Options that are no settings."""
TASK_OPTIONS: Final = (
    *_OWN, "queue", "priority", "retry", "timeout", "soft_timeout", "unique", "throttle", "debounce", "keep_last", "expires",
    "backlog", "tags", "retention", "max_crashes", "per_worker", "fair", "ageing",
)  # fmt: skip
"""What `@app.task` takes."""


def make_task(
    app: App,
    defaults: TaskSettings,
    fn: Callable[..., Any],
    given: Mapping[str, Any],
) -> Task[..., Any]:
    """The task; the app does not know it yet. `given` is what `@app.task` was given, by name; None: not given.

    Raises:
        ConfigError: everything that cannot work, at once.
        TypeError: a name that `@app.task` does not know.
    """
    check_names(given)
    name, run_in = given.get("name"), given.get("run_in")
    if isinstance(fn, Task | type) or not hasattr(fn, "__qualname__") or not callable(fn):
        raise ConfigError(f"{fn!r} cannot be a task: put @app.task on a function.")
    problems: list[str] = []
    try:
        name = check_name(name if name is not None else fn.__name__, "a task name")
    except (ValueError, TypeError) as error:
        problems.append(str(error))
        name = fn.__name__
    if name in app.tasks:
        known = app.tasks[name].fn
        problems.append(
            f"There are two tasks named {name!r}: {known.__module__}.{known.__qualname__} and "
            f"{fn.__module__}.{fn.__qualname__}. Give one of them another name: @app.task(name=...)."
        )
    where, settings = run_in, defaults
    limits: tuple[Named, ...] = ()
    try:
        where = where_to_run(fn, run_in, name)
    except ConfigError as error:
        problems += error.problems
    try:
        settings = changed(defaults, name, _without(given, _OWN), app.max_payload)
    except ConfigError as error:
        problems += error.problems
    problems += per_worker_problems(name, where, given.get("per_worker"))
    problems += batch_problems(name, fn, batch := given.get("batch"))
    try:
        limits = limits_of(name, fn, {**given, "concurrency": _slots(name, given, settings)}, app.declarations.limits)
        check_in_line(name, limits, settings, settings)
        Keys(name, fn, settings.rule) if settings.rule is not None else None
        Turns(name, fn, settings.fair) if settings.fair is not None else None
    except ConfigError as error:
        problems += error.problems
    if problems or where is None:
        raise ConfigError(problems)
    make: Callable[..., Task[..., Any]] = AsyncTask if inspect.iscoroutinefunction(fn) else SyncTask
    if batch is not None:
        make = partial(BatchTask, batch=batch)
    return make(app, fn, name, where, settings, limits=limits)


def _slots(name: str, given: Mapping[str, Any], settings: TaskSettings) -> Any:
    """What runs at once: with `keep_last` one job of its key, besides what was given."""
    concurrency, rule = given.get("concurrency"), settings.rule
    if not isinstance(rule, KeepLast):
        return concurrency
    more = concurrency if isinstance(concurrency, list | tuple | set | frozenset) else (concurrency,)
    return [Limit(1, key=rule.key, name=f"{name}.keep_last"), *(one for one in more if one is not None)]


def _without(given: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}


def check_names(given: Mapping[str, Any]) -> None:
    """Refuse what `@app.task` does not know.

    Raises:
        TypeError: there is something; the message names the nearest that it knows.
    """
    for name in given:
        if name not in TASK_OPTIONS:
            near = difflib.get_close_matches(name, TASK_OPTIONS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It takes: {', '.join(TASK_OPTIONS)}."
            raise TypeError(f"@app.task got {name!r}, which it does not know. {hint}")


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
