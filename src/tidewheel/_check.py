"""Looking an app over before it runs: everything that is wrong or doubtful, at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tidewheel._model.errors import ConfigError

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
    return found


def _importable(task: Task[..., object]) -> bool:
    if "<" in task.fn.__qualname__:
        return False
    found: object = sys.modules.get(task.fn.__module__)
    for name in task.fn.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is not None
