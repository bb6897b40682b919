"""`tidewheel queues`: list, pause, resume, drain, clean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import click

from tidewheel._cli import plain
from tidewheel._cli.output import confirm, emit, json_option, say
from tidewheel._cli.params import SPAN, STATES, Name, examples, store_options, yes_option
from tidewheel._cli.root import LazyGroup
from tidewheel._cli.show import Column, count, micros, print_table, relative, wall_clock
from tidewheel._cli.target import ask, unknown

if TYPE_CHECKING:
    from tidewheel import App, QueueStats

COMMANDS: Final = {
    "list": ("queues:list_queues", "List queues with their counts."),
    "pause": ("queues:pause", "Stop handing out jobs of queues; running ones go on."),
    "resume": ("queues:resume", "Hand out jobs of paused queues again."),
    "drain": ("queues:drain", "Delete the jobs that wait in a queue."),
    "clean": ("queues:clean", "Delete finished jobs of a queue."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def queues() -> None:
    """List, pause, resume, drain and clean queues."""


@click.command("list", epilog=examples("tidewheel queues list --app shop.jobs:app"))
@store_options
@json_option
def list_queues(app: str | None, store: str | None, as_json: bool) -> int:
    """List queues with their counts."""
    found = ask(app, store, _stats)
    if as_json:
        emit({"queues": plain.plain(found)})
        return 0
    now = wall_clock()
    ranks = {
        "available": 1,
        "parked": 3,
        "running": 1,
        "scheduled": 3,
        "retryable": 3,
        "completed": 5,
        "discarded": 2,
        "cancelled": 6,
    }
    columns = [
        Column[Any]("QUEUE", _name),
        *(Column[Any](name.upper(), _counter(name), rank=ranks[name], right=True) for name in STATES),
        Column[Any]("OLDEST DUE", lambda row: relative(row.oldest_available, now), rank=4),
    ]
    print_table(found, columns, empty="There are no queues yet: a queue appears with its first job.")
    return 0


async def _stats(app: App) -> list[QueueStats]:
    return list(await app.queues.list())


def _name(row: QueueStats) -> Any:
    from rich.text import Text

    from tidewheel._cli.show import safe

    return Text.assemble(safe(row.name), ("  paused", "yellow")) if row.paused else row.name


def _counter(name: str) -> Callable[[QueueStats], Any]:
    from rich.text import Text

    from tidewheel._cli.show import STATE_STYLE

    def show(row: QueueStats) -> Any:
        number = next((n for key, n in row.counts.items() if key == name), 0)
        return Text(f"{number:,}" if number else "-", style=STATE_STYLE[name] if number else "bright_black")

    return show


def _switch(verb: str, done: str, text: str, line: str) -> click.Command:
    @click.command(verb, help=text, epilog=examples(line))
    @click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
    @store_options
    @json_option
    def command(app: str | None, store: str | None, names: tuple[str, ...], as_json: bool) -> int:
        async def question(found: App) -> list[str]:
            known = {row.name for row in await found.queues.list()} | {
                task.settings.queue for task in found.tasks.values()
            }
            act: Callable[[str], Awaitable[Any]] = found.queues.pause if verb == "pause" else found.queues.resume
            for name in names:
                await act(name)
            return [name for name in names if name not in known]

        new = ask(app, store, question)
        if as_json:
            emit({"queues": list(names), "paused": verb == "pause", "new": new})
            return 0
        for name in names:
            note = " It has no jobs yet; check the spelling if you meant another." if name in new else ""
            say(f"{name}: {done}.{note}")
        return 0

    return command


pause = _switch(
    "pause",
    "paused; running jobs go on, nothing new starts",
    "Stop handing out jobs of queues, everywhere. Running ones go on.",
    "tidewheel queues pause email --app shop.jobs:app",
)
resume = _switch(
    "resume",
    "resumed",
    "Hand out jobs of paused queues again.",
    "tidewheel queues resume email --app shop.jobs:app",
)


async def _one(app: App, name: str) -> QueueStats:
    found = {row.name: row for row in await app.queues.list()}
    if name not in found:
        raise unknown("queue", name, found, then="Nothing was deleted.")
    return found[name]


@click.command(epilog=examples("tidewheel queues drain email --app shop.jobs:app"))
@click.argument("name", metavar="QUEUE")
@click.option("--scheduled", is_flag=True, help="Those that wait for their time too: scheduled and retryable.")
@store_options
@yes_option
@json_option
def drain(app: str | None, store: str | None, name: str, scheduled: bool, yes: bool, as_json: bool) -> int:
    """Delete the jobs that wait in a queue. Running and finished ones stay."""
    stats = ask(app, store, lambda found: _one(found, name))
    states = ("available", "parked", *(("scheduled", "retryable") if scheduled else ()))
    waiting = sum(number for state, number in stats.counts.items() if state in states)
    deleted = 0
    if waiting:
        confirm(f"delete {count(waiting, 'waiting job')} of the queue {name!r}", yes=yes, as_json=as_json)
        deleted = ask(app, store, lambda found: found.queues.drain(name, scheduled=scheduled))
    if as_json:
        emit({"queue": name, "deleted": deleted})
    else:
        say(f"{count(deleted, 'job')} deleted." if waiting else f"Nothing waits in {name!r}.")
    return 0


@click.command(epilog=examples("tidewheel queues clean email --state discarded --older-than 30d --app shop.jobs:app"))
@click.argument("name", metavar="QUEUE")
@click.option(
    "--state", type=Name(("completed", "cancelled", "discarded")), default="completed", show_default=True, help="Which."
)
@click.option("--older-than", type=SPAN, default="0s", help="Only jobs that ended longer ago than this (24h, 7d).")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="At most so many.")
@store_options
@yes_option
@json_option
def clean(
    app: str | None, store: str | None, name: str, state: str, older_than: str, limit: int, yes: bool, as_json: bool
) -> int:
    """Delete finished jobs of a queue with their history."""
    from tidewheel import JobFilter, JobState
    from tidewheel._cli.jobs_change import count_jobs

    wanted = JobState(state)

    async def question(found: App) -> tuple[int, bool]:
        await _one(found, name)
        before = wall_clock() - micros(older_than)
        return await count_jobs(found, JobFilter(queues=(name,), states=(wanted,), finished_before=before))

    number, more = ask(app, store, question)
    deleted = 0
    if number:
        amount = f"{min(number, limit):,} of {'more than ' if more else ''}{count(number, f'{state} job')}"
        confirm(f"delete {amount} of the queue {name!r}", yes=yes, as_json=as_json)
        deleted = ask(app, store, lambda found: found.queues.clean(name, grace=older_than, limit=limit, state=wanted))
    if as_json:
        emit({"queue": name, "state": state, "deleted": deleted})
    else:
        say(f"{count(deleted, 'job')} deleted." if number else f"Nothing to clean in {name!r}.")
    return 0
