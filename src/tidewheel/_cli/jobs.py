"""`tidewheel jobs`: the filters all of its commands share, and where each command lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tidewheel._cli.params import SPAN, STATE, STATES
from tidewheel._cli.root import LazyGroup

if TYPE_CHECKING:
    from tidewheel import JobFilter

F = TypeVar("F", bound=Callable[..., Any])

COMMANDS: Final = {
    "list": ("jobs_read:list_jobs", "List jobs, newest first."),
    "show": ("jobs_read:show", "Show one job: arguments, result, error, history, log."),
    "logs": ("jobs_read:logs", "Print what a job logged."),
    "retry": ("jobs_change:retry", "Make finished jobs available again, with fresh attempts."),
    "cancel": ("jobs_change:cancel", "Cancel jobs; running ones are asked to stop."),
    "promote": ("jobs_change:promote", "Make scheduled and retryable jobs available now."),
    "delete": ("jobs_change:delete", "Delete jobs with their history; running ones stay."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def jobs() -> None:
    """List, show, retry, cancel, promote and delete jobs."""


def filter_options(command: F) -> F:
    """The options that pick jobs. All given ones must match; one given twice means either value."""
    for option in (
        click.option("--older-than", type=SPAN, help="Enqueued longer ago than this (1h, 2d)."),
        click.option("--text", metavar="TEXT", help="Part of the id, task, arguments or error; case counts."),
        click.option("--tag", metavar="TAG", help="Jobs with this tag."),
        click.option("--kind", "kinds", metavar="TASK", multiple=True, help="Task name; repeatable."),
        click.option("--queue", "queues", metavar="QUEUE", multiple=True, help="Queue; repeatable."),
        click.option(
            "--state", "states", metavar="STATE", type=STATE, multiple=True, help=f"{', '.join(STATES)}; repeatable."
        ),
    ):
        command = option(command)
    return command


def make_filter(given: dict[str, Any]) -> JobFilter:
    """The options of `filter_options` as a filter; takes them out of `given`."""
    from tidewheel import JobFilter, JobState
    from tidewheel._cli.show import micros, wall_clock

    older = given.pop("older_than")
    return JobFilter(
        states=tuple(JobState(name) for name in given.pop("states")),
        queues=given.pop("queues"),
        kinds=given.pop("kinds"),
        tag=given.pop("tag"),
        text=given.pop("text"),
        enqueued_before=None if older is None else wall_clock() - micros(older),
    )
