"""`jobs list`, `jobs show`, `jobs logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tidewheel._cli import plain
from tidewheel._cli.jobs import filter_options, make_filter
from tidewheel._cli.output import console, emit, json_option, say
from tidewheel._cli.params import SPAN, OptionalValue, examples, store_options
from tidewheel._cli.root import not_found
from tidewheel._cli.target import ask
from tidewheel._cli.watch import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from tidewheel import App, Child, History, Page

_WATCH = {"--watch": "1s"}
_watch_option = click.option(
    "--watch", metavar="[SECONDS]", type=SPAN, help="Show it again and again, every second or as given."
)


@click.command(
    "list",
    cls=OptionalValue,
    optional=_WATCH,
    epilog=examples("tidewheel jobs list --app shop.jobs:app --state retryable --state discarded"),
)
@store_options
@filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@click.option("--cursor", help="Go on where an earlier page ended.")
@_watch_option
@json_option
def list_jobs(app: str | None, store: str | None, as_json: bool, watch: str | None, **given: Any) -> int:
    """List jobs, newest first."""
    limit, cursor = given.pop("limit"), given.pop("cursor")
    where = make_filter(given)

    async def question(found: App) -> Page:
        try:
            return await found.jobs.list(where, limit=limit, cursor=cursor)
        except ValueError as error:
            if cursor is None:
                raise
            raise click.UsageError(f"{error}") from error

    def document(page: Page) -> Any:
        return {"jobs": [plain.job(row) for row in page.jobs], "next": page.next}

    def picture(page: Page) -> RenderableType:
        from tidewheel._cli.jobs_show import job_table

        return job_table(page, console().width, filtered=not where.empty)

    return _answer(app, store, question, document, picture, as_json=as_json, every=watch)


@click.command(
    "show",
    cls=OptionalValue,
    optional=_WATCH,
    epilog=examples("tidewheel jobs show 0199a3f0-7c1e-7d52-9c0a-3f1d2b4c5e6f --app shop.jobs:app"),
)
@click.argument("job_id", metavar="ID")
@store_options
@_watch_option
@json_option
def show(app: str | None, store: str | None, job_id: str, as_json: bool, watch: str | None) -> int:
    """Show one job: arguments, result, error, history, log. --watch ends when the job has ended."""

    async def question(found: App) -> tuple[History, Sequence[Child]]:
        return await _history(found, job_id), await found.jobs.children(job_id)

    def document(known: tuple[History, Sequence[Child]]) -> Any:
        return plain.history(known[0]) | {"children": plain.plain(known[1])}

    def picture(known: tuple[History, Sequence[Child]]) -> RenderableType:
        from tidewheel._cli.jobs_show import job_page

        return job_page(*known)

    def ended(known: tuple[History, Sequence[Child]]) -> bool:
        return known[0].job.state.final

    return _answer(app, store, question, document, picture, as_json=as_json, every=watch, ended=ended)


@click.command(epilog=examples("tidewheel jobs logs 0199a3f0-7c1e-7d52-9c0a-3f1d2b4c5e6f --follow --app shop.jobs:app"))
@click.argument("job_id", metavar="ID")
@store_options
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@json_option
def logs(app: str | None, store: str | None, job_id: str, follow: bool, as_json: bool) -> int:
    """Print what a job logged, oldest first."""
    from tidewheel._cli.jobs_show import log_line

    if not follow:
        lines = ask(app, store, lambda found: _history(found, job_id)).logs
        if as_json:
            emit(plain.plain(lines))
            return 0
        for line in lines:
            say(log_line(line))
        if not lines:
            say("The job logged nothing.")
        return 0

    async def stream(found: App) -> None:
        import asyncio

        seen: list[Any] = []
        while True:
            history = await _history(found, job_id)
            for line in _new(seen, list(history.logs)):
                if as_json:
                    emit(plain.plain(line), line=True)
                else:
                    say(log_line(line))
            seen = list(history.logs)
            if history.job.state.final:
                return
            await asyncio.sleep(0.5)

    ask(app, store, stream)
    return 0


def _new(seen: list[Any], lines: list[Any]) -> list[Any]:
    """The lines after those seen; the oldest may have been dropped meanwhile."""
    if not seen:
        return lines
    last = seen[-1]
    for index in range(len(lines) - 1, -1, -1):
        if lines[index] == last:
            return lines[index + 1 :]
    return lines


async def _history(found: App, job_id: str) -> History:
    history = await found.jobs.history(job_id)
    if history is None:
        not_found(
            f"There is no job {job_id!r} in this store.",
            remedy="Check the id. Finished jobs go when their retention is over.",
        )
    return history


def _answer(
    app: str | None,
    store: str | None,
    question: Callable[[App], Any],
    document: Callable[[Any], Any],
    picture: Callable[[Any], RenderableType],
    *,
    as_json: bool,
    every: str | None,
    ended: Callable[[Any], bool] = lambda _found: False,
) -> int:
    if every is not None:

        async def stream(found: App) -> None:
            await watch(lambda: question(found), document, picture, as_json=as_json, every=every, ended=ended)

        ask(app, store, stream)
        return 0
    found = ask(app, store, question)
    if as_json:
        emit(document(found))
    else:
        say(picture(found))
    return 0
