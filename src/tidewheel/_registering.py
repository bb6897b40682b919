"""Making a task of a function: everything that is checked when `@app.task` is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tidewheel._config import per_worker_problems
from tidewheel._flows import Named, limits_of
from tidewheel._model.errors import ConfigError
from tidewheel._names import check_name
from tidewheel._settings import TaskSettings, changed
from tidewheel._task import AsyncTask, RunIn, SyncTask, Task

if TYPE_CHECKING:
    from tidewheel._app import App


def make_task(
    app: App,
    defaults: TaskSettings,
    fn: Callable[..., Any],
    *,
    name: str | None,
    run_in: RunIn | None,
    given: Mapping[str, Any],
    limited: Mapping[str, Any],
) -> Task[..., Any]:
    """The task; the app does not know it yet. `given` are settings, `limited` the limits.

    Raises:
        ConfigError: everything that cannot work, at once.
    """
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
        settings = changed(defaults, name, given, app.max_payload)
    except ConfigError as error:
        problems += error.problems
    problems += per_worker_problems(name, where, given.get("per_worker"))
    try:
        limits = limits_of(name, fn, limited.get("concurrency"), limited.get("rate"), app.declarations.limits)
    except ConfigError as error:
        problems += error.problems
    if problems or where is None:
        raise ConfigError(problems)
    make = AsyncTask if inspect.iscoroutinefunction(fn) else SyncTask
    task: Task[..., Any] = make(app, fn, name, where, settings, limits=limits)
    return task


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
