"""`tidewheel deadletters`: jobs that were given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tidewheel._cli import plain
from tidewheel._cli.errors import NOT_FOUND, OK, USAGE, CliError
from tidewheel._cli.output import confirm, emit, json_option, say
from tidewheel._cli.params import SPAN, examples, store_options, yes_option
from tidewheel._cli.root import LazyGroup, not_found
from tidewheel._cli.show import Column, call, count, micros, one_line, print_table, relative, wall_clock
from tidewheel._cli.target import ask

if TYPE_CHECKING:
    from tidewheel import App, DeadLetter, History, JobFilter

F = TypeVar("F", bound=Callable[..., Any])

COMMANDS: Final = {
    "list": ("deadletters:list_dead", "List dead letters, newest first."),
    "show": ("deadletters:show", "Show one: arguments, error, stack, attempts, log."),
    "requeue": ("deadletters:requeue", "Run dead letters again, with fresh attempts."),
    "purge": ("deadletters:purge", "Delete dead letters for good."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def deadletters() -> None:
    """List, show, requeue and purge dead letters: jobs that were given up."""


def _filter_options(command: F) -> F:
    for option in (
        click.option("--older-than", type=SPAN, help="Given up longer ago than this (1h, 30d)."),
        click.option("--text", metavar="TEXT", help="Part of the id, task, arguments or error; case counts."),
        click.option("--tag", metavar="TAG", help="With this tag."),
        click.option("--kind", "kinds", metavar="TASK", multiple=True, help="Task name; repeatable."),
        click.option("--queue", "queues", metavar="QUEUE", multiple=True, help="Queue; repeatable."),
    ):
        command = option(command)
    return command


def _make_filter(given: dict[str, Any]) -> JobFilter:
    from tidewheel import JobFilter

    older = given.pop("older_than")
    return JobFilter(
        queues=given.pop("queues"),
        kinds=given.pop("kinds"),
        tag=given.pop("tag"),
        text=given.pop("text"),
        finished_before=None if older is None else wall_clock() - micros(older),
    )


@click.command("list", epilog=examples("tidewheel deadletters list --kind send_invoice --app shop.jobs:app"))
@store_options
@_filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@json_option
def list_dead(app: str | None, store: str | None, limit: int, as_json: bool, **given: Any) -> int:
    """List dead letters, newest first."""
    where = _make_filter(given)

    async def question(found: App) -> list[DeadLetter]:
        return list(await found.dead_letters.list(where, limit=limit))

    rows = ask(app, store, question)
    if as_json:
        emit({"dead_letters": plain.plain(rows)})
        return OK
    now = wall_clock()
    columns = [
        Column[Any]("ID", lambda row: row.id),
        Column[Any]("TASK", lambda row: row.kind),
        Column[Any]("GIVEN UP", lambda row: relative(row.failed_at, now), rank=1),
        Column[Any]("TRIES", lambda row: str(row.attempts), rank=3, right=True),
        Column[Any]("QUEUE", lambda row: row.queue, rank=4),
        Column[Any]("ERROR", _error, rank=2, flexible=True),
        Column[Any]("ARGUMENTS", lambda row: call(row.args, 60), rank=5, flexible=True),
    ]
    print_table(rows, columns, empty="There are no dead letters." if where.empty else "None matches.")
    return OK


def _error(row: DeadLetter) -> Any:
    from rich.text import Text

    return Text(one_line(f"{row.error.type}: {row.error.message}"), style="red")


@click.command(epilog=examples("tidewheel deadletters show 0199a3f0-7c1e-7d52-9c0a-3f1d2b4c5e6f --app shop.jobs:app"))
@click.argument("job_id", metavar="ID")
@store_options
@json_option
def show(app: str | None, store: str | None, job_id: str, as_json: bool) -> int:
    """Show one dead letter: arguments, error, stack, attempts, log."""

    async def question(found: App) -> History:
        history = await found.jobs.history(job_id)
        if history is None:
            not_found(f"There is no dead letter {job_id!r} in this store.", remedy="See `tidewheel deadletters list`.")
        if history.job.state != "discarded":
            not_found(
                f"The job {job_id!r} is no dead letter: it is {history.job.state}.",
                remedy=f"See `tidewheel jobs show {job_id}`.",
            )
        return history

    history = ask(app, store, question)
    if as_json:
        emit(plain.history(history))
        return OK
    from tidewheel._cli.jobs_show import job_page

    say(job_page(history))
    return OK


@click.command(epilog=examples("tidewheel deadletters requeue --kind send_invoice --app shop.jobs:app"))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@store_options
@_filter_options
@click.option("--all", "everything", is_flag=True, help="All dead letters there are.")
@yes_option
@json_option
def requeue(
    app: str | None, store: str | None, ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool, **given: Any
) -> int:
    """Run dead letters again, with fresh attempts."""
    return _change("requeue", app, store, ids, _make_filter(given), everything=everything, yes=yes, as_json=as_json)


@click.command(epilog=examples("tidewheel deadletters purge --older-than 30d --app shop.jobs:app"))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@store_options
@_filter_options
@click.option("--all", "everything", is_flag=True, help="All dead letters there are.")
@yes_option
@json_option
def purge(
    app: str | None, store: str | None, ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool, **given: Any
) -> int:
    """Delete dead letters for good, with their history."""
    return _change("purge", app, store, ids, _make_filter(given), everything=everything, yes=yes, as_json=as_json)


def _change(
    verb: str,
    app: str | None,
    store: str | None,
    ids: tuple[str, ...],
    where: JobFilter,
    *,
    everything: bool,
    yes: bool,
    as_json: bool,
) -> int:
    import msgspec

    from tidewheel import JobState
    from tidewheel._cli.jobs_change import count_jobs

    ways = [bool(ids), not where.empty, everything]
    if sum(ways) != 1:
        raise CliError(
            f"{verb} needs ids, a filter, or --all" + (", and only one of them." if any(ways) else "."),
            remedy="Narrow it with --queue, --kind, --tag, --text or --older-than." if not any(ways) else "",
            then="Nothing was changed.",
            code=USAGE,
        )
    dead = msgspec.structs.replace(where, states=(JobState.DISCARDED,))

    async def act(found: App) -> int:
        chosen = list(ids) if ids else dead
        return await (found.dead_letters.requeue(chosen) if verb == "requeue" else found.dead_letters.purge(chosen))

    if ids:
        matched, more = len(set(ids)), False
    else:
        matched, more = ask(app, store, lambda found: count_jobs(found, dead))
        if matched:
            amount = f"more than {matched:,} dead letters" if more else count(matched, "dead letter")
            confirm(f"{verb} {amount}", yes=yes, as_json=as_json)
    changed = ask(app, store, act) if matched else 0
    done = "requeued" if verb == "requeue" else "purged"
    if as_json:
        emit({"matched": matched, "matched_more": more, "changed": changed})
    else:
        say(f"{count(changed, 'dead letter')} {done}." if matched else "No dead letter matches.")
    if ids and changed < matched:
        missing = matched - changed
        why = "no such dead letter" + (", or a live job holds its unique key" if verb == "requeue" else "")
        click.echo(f"{missing} of the ids {'was' if missing == 1 else 'were'} not {done}: {why}.", err=True)
        return NOT_FOUND
    return OK
