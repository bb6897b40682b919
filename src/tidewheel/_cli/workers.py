"""`tidewheel workers`: who runs jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tidewheel._cli import plain
from tidewheel._cli.output import emit, json_option
from tidewheel._cli.params import examples, store_options
from tidewheel._cli.show import Column, iso, print_table, relative, wall_clock
from tidewheel._cli.target import ask

if TYPE_CHECKING:
    from tidewheel import App, WorkerRow


@click.command(epilog=examples("tidewheel workers --app shop.jobs:app"))
@store_options
@json_option
def workers(app: str | None, store: str | None, as_json: bool) -> int:
    """List the live workers: those that gave a sign of life lately."""

    async def question(found: App) -> list[WorkerRow]:
        return list(await found.workers.list())

    rows = ask(app, store, question)
    if as_json:
        emit({"workers": [plain.plain(row.info) | {"seen_at": iso(row.seen_at)} for row in rows]})
        return 0
    now = wall_clock()
    columns = [
        Column[Any]("WORKER", lambda row: row.info.id, rank=5),
        Column[Any]("HOST", lambda row: row.info.host),
        Column[Any]("PID", lambda row: str(row.info.pid), right=True),
        Column[Any]("RUNNING", lambda row: f"{row.info.running}/{row.info.concurrency}", right=True),
        Column[Any]("QUEUES", lambda row: ", ".join(row.info.queues), rank=1, flexible=True),
        Column[Any]("STARTED", lambda row: relative(row.info.started_at, now), rank=3),
        Column[Any]("SEEN", lambda row: relative(row.seen_at, now), rank=2),
        Column[Any]("VERSION", lambda row: row.info.version, rank=4),
    ]
    print_table(rows, columns, empty="No worker is running. Start one: tidewheel worker APP")
    return 0
