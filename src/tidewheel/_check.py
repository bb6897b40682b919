"""Looking an app over before it runs: everything that is wrong or doubtful, at once."""

from __future__ import annotations

import sys
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tidewheel._limits import Limit
from tidewheel._model.errors import ConfigError
from tidewheel._paths import steps_of

if TYPE_CHECKING:
    from tidewheel._app import App
    from tidewheel._task import Task


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: an error keeps the app from working, a warning is worth a look."""

    level: Literal["error", "warning"]
    where: str
    message: str
    remedy: str


def check_app(app: App) -> list[Problem]:
    """All findings, errors first."""
    found = []
    if not app.tasks:
        found.append(Problem("warning", "app", "It has no tasks.", "Put @app.task on a function."))
    if app.url.startswith("memory:"):
        found.append(
            Problem(
                "warning",
                "store",
                "memory:// forgets everything when the process ends and is seen by no other.",
                "Use sqlite:///jobs.db.",
            )
        )
    queues = {task.settings.queue for task in app.tasks.values()}
    found += [
        Problem("warning", f"queues[{name!r}]", "No task uses this queue.", "Check the spelling, or remove it.")
        for name in app.queue_retention
        if name not in queues
    ]
    for task in app.tasks.values():
        found += _check_task(task)
    return sorted(found, key=lambda one: one.level)


def _check_task(task: Task[..., object]) -> list[Problem]:
    found = []
    where = f"task {task.name}"
    try:
        task.codec  # noqa: B018 -- made at first use
    except ConfigError as error:
        found.append(Problem("error", where, str(error), "Change the type hint, or pass a plain JSON type."))
    settings = task.settings
    if task.run_in == "process" and not _importable(task):
        found.append(
            Problem(
                "error",
                where,
                f"{task.fn.__module__}.{task.fn.__qualname__} cannot be imported by a child process.",
                "Define the function at the top level of a module.",
            )
        )
    if task.run_in == "thread" and settings.timeout is not None:
        found.append(
            Problem(
                "warning",
                where,
                "A thread cannot be killed: after its timeout it goes on in the background, its result is refused.",
                'Use run_in="process" where work must really end, or watch current_job().cancelled.',
            )
        )
    if settings.retry.attempts == 1 and settings.retry.within is not None:
        found.append(Problem("warning", where, "retry: one attempt has no use for a time budget.", "Drop `within`."))
    least = min((one.slots for _, one in task.limits if isinstance(one, Limit) and one.key is None), default=None)
    if settings.per_worker is not None and least is not None and least <= settings.per_worker:
        found.append(
            Problem(
                "warning",
                where,
                f"per_worker={settings.per_worker} has no effect: no more than {least} of its attempts run anywhere.",
                "Drop per_worker, or make it less than that limit.",
            )
        )
    if task.batch is not None and least is not None and least < task.batch.size:
        found.append(
            Problem(
                "warning",
                where,
                f"No batch ever has {task.batch.size} jobs: no more than {least} of its jobs run at once anywhere.",
                "Make the batch smaller or the limit larger.",
            )
        )
    return found + _check_paths(task)


def _check_paths(task: Task[..., object]) -> list[Problem]:
    """Keys and costs that a job may not have, as far as type hints tell."""
    paths = [(f"limit {name}", "key", limit.key) for name, limit in task.limits]
    paths += [(f"limit {name}", "cost", limit.cost) for name, limit in task.limits if not isinstance(limit.cost, int)]
    if task.batch is not None:
        paths.append(("batch", "key", task.batch.key))
    if (rule := task.settings.rule) is not None:
        paths.append((type(rule).__name__, "key", rule.key))
    if not any(isinstance(path, str) for _, _, path in paths):
        return []
    from tidewheel._path_types import path_doubt

    try:
        hints = task.codec.hints
    except ConfigError:  # told of above
        return []
    return [
        Problem(
            "warning",
            f"task {task.name}",
            f"{which}: {what}={path!r}: {doubt}. Such a job is refused when it is enqueued.",
            f"Make the path lead to a text or a number that is always there, or give {what}= a function.",
        )
        for which, what, path in paths
        if isinstance(path, str) and (doubt := path_doubt(path, hints.get(str(steps_of(path)[0]), typing.Any)))
    ]


def _importable(task: Task[..., object]) -> bool:
    if "<" in task.fn.__qualname__:
        return False
    found: object = sys.modules.get(task.fn.__module__)
    for name in task.fn.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is not None
