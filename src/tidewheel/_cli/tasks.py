"""`tidewheel tasks`: list, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from tidewheel._cli.output import emit, json_option, say
from tidewheel._cli.params import examples, store_options
from tidewheel._cli.root import LazyGroup
from tidewheel._cli.show import Column, print_table
from tidewheel._cli.target import ask, unknown

if TYPE_CHECKING:
    from tidewheel import App

COMMANDS: Final = {
    "list": ("tasks:list_tasks", "List the tasks of an app, and which are paused."),
    "pause": ("tasks:pause", "Start no more jobs of tasks; running ones go on."),
    "resume": ("tasks:resume", "Start jobs of paused tasks again."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def tasks() -> None:
    """List, pause and resume tasks."""


@click.command("list", epilog=examples("tidewheel tasks list --app shop.jobs:app"))
@store_options
@json_option
def list_tasks(app: str | None, store: str | None, as_json: bool) -> int:
    """List the tasks of an app, and which are paused. With --store only the paused ones are known."""
    rows = ask(app, store, _rows)
    if as_json:
        emit({"tasks": rows})
        return 0
    columns = [Column[Any]("TASK", _name), Column[Any]("QUEUE", lambda row: row["queue"] or "-", rank=1)]
    print_table(rows, columns, empty="No task is paused. Name the app to see its tasks: --app module:attribute.")
    return 0


async def _rows(app: App) -> list[dict[str, Any]]:
    paused = set(await app.pauses.list())
    queues = {name: task.settings.queue for name, task in app.tasks.items()}
    names = sorted(queues.keys() | paused)
    return [{"name": name, "queue": queues.get(name), "paused": name in paused} for name in names]


def _name(row: dict[str, Any]) -> Any:
    from rich.text import Text

    from tidewheel._cli.show import safe

    return Text.assemble(safe(row["name"]), ("  paused", "yellow")) if row["paused"] else row["name"]


def _switch(verb: str, done: str, text: str, line: str) -> click.Command:
    @click.command(verb, help=text, epilog=examples(line))
    @click.argument("names", metavar="TASK...", nargs=-1, required=True)
    @store_options
    @json_option
    def command(app: str | None, store: str | None, names: tuple[str, ...], as_json: bool) -> int:
        async def act(found: App) -> None:
            paused = await found.pauses.list()
            known = [*found.tasks, *paused]
            for name in names if found.tasks or verb == "resume" else ():
                if name not in known:
                    raise unknown("task" if found.tasks else "paused task", name, known, then="Nothing was changed.")
            for name in names:
                await (found.pauses.pause(name) if verb == "pause" else found.pauses.resume(name))

        ask(app, store, act)
        if as_json:
            emit({"tasks": list(names), "paused": verb == "pause"})
            return 0
        for name in names:
            say(f"{name}: {done}.")
        return 0

    return command


pause = _switch(
    "pause",
    "paused; running jobs go on, nothing new starts",
    "Start no more jobs of tasks, in any queue, by any worker. Running ones go on.",
    "tidewheel tasks pause send --app shop.jobs:app",
)
resume = _switch(
    "resume", "resumed", "Start jobs of paused tasks again.", "tidewheel tasks resume send --app shop.jobs:app"
)
