"""`tidewheel check`: everything that is wrong or doubtful about an app, its settings and its store, at once."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from tidewheel._cli import plain
from tidewheel._cli.errors import OK, PROBLEMS, USAGE, CliError, explain, listed
from tidewheel._cli.limits_show import rule_text
from tidewheel._cli.output import emit, json_option, say
from tidewheel._cli.params import examples
from tidewheel._cli.show import count, fields, safe
from tidewheel._cli.target import find_app, sqlite_file, without_password

if TYPE_CHECKING:
    from tidewheel import App, LimitRow, Problem, StoreInfo


@click.command(epilog=examples("tidewheel check shop.jobs:app"))
@click.argument("app", metavar="[APP]", required=False)
@click.option("--app", "app_option", metavar="APP", help="The same as the argument [env: TIDEWHEEL_APP].")
@click.option("--store", metavar="URL", help="Check this store alone [env: TIDEWHEEL_STORE].")
@click.option("--strict", is_flag=True, help="Warnings are problems too.")
@json_option
def check(app: str | None, app_option: str | None, store: str | None, strict: bool, as_json: bool) -> int:
    """Check an app, its settings and its store. Shows all problems at once; exit code 5 when there is one.

    A SQLite file that does not exist yet is not made.
    """
    if app and app_option and app != app_option:
        raise CliError(f"Two apps were given: {app} and {app_option}.", remedy="Give one.", code=USAGE)
    bare = not (app or app_option) and bool(store)
    found = find_app(app or app_option, store)
    bare = bare or (not found.tasks and not (app or app_option))
    problems = [] if bare else list(found.check())
    info, limits, trouble = _open(found)
    if trouble is not None:
        problems.insert(0, trouble)
    problems += _overruled(limits)
    wrong = [problem for problem in problems if problem.level == "error" or strict]
    if as_json:
        emit(
            {
                "ok": not wrong,
                "problems": plain.plain(problems),
                "store": {"url": without_password(found.url)} | (plain.plain(info) if info else {"exists": False}),
                "tasks": sorted(found.tasks),
            }
        )
    else:
        _show(found, problems, info, bare=bare)
    return PROBLEMS if wrong else OK


def _open(app: App) -> tuple[StoreInfo | None, list[LimitRow], Problem | None]:
    """What the store says of itself and of limits, or why it cannot be opened; nothing for a file not there yet."""
    from tidewheel import Problem, StoreError

    file = sqlite_file(app.url)
    if file is not None and not file.exists() and (folder := file.absolute().parent).is_dir():
        if os.access(folder, os.W_OK):
            return None, [], None
        what = f"{file.name} does not exist, and this user may not make it in {folder}."
        return None, [], Problem("error", "store", what, "Give the user that runs workers the right to write there.")

    async def question() -> tuple[StoreInfo, list[LimitRow]]:
        async with app:
            return await app.info(), list(await app.limits.list())

    try:
        return *asyncio.run(question()), None
    except StoreError as error:
        plainly = explain(error)
        return None, [], Problem("error", "store", plainly.what, plainly.remedy or "Nothing was changed.")


def _overruled(limits: list[LimitRow]) -> list[Problem]:
    """Numbers of the code that do not hold, because an operator said otherwise."""
    from tidewheel import Problem

    return [
        Problem(
            "warning",
            f"limit {row.name}",
            f"An operator set it to {rule_text(row.rule)}; the code says {rule_text(row.declared)}.",
            f"Take it back when it is not wanted any more: tidewheel limits clear {row.name}.",
        )
        for row in limits
        if row.declared is not None and row.rule != row.declared
    ]


def _show(app: App, problems: list[Problem], info: StoreInfo | None, *, bare: bool) -> None:
    from rich.text import Text

    facts: list[tuple[str, str | Text]] = [("store", without_password(app.url))]
    if info is not None:
        facts += [("", f"{info.name} {info.version}, schema {info.schema}"), ("durability", info.durability)]
        facts += [("note", safe(note)) for note in info.notes]
    elif not any(problem.where == "store" and problem.level == "error" for problem in problems):
        facts.append(("", "does not exist yet: the first worker or enqueue makes it"))
    if not bare:
        queues = sorted({task.settings.queue for task in app.tasks.values()})
        facts += [("tasks", f"{len(app.tasks)}: {listed(app.tasks)}"), ("queues", ", ".join(queues))]
        names = {name for task in app.tasks.values() for name, _ in task.limits}
        facts.append(("limits", f"{len(names)}: {listed(names)}" if names else ""))
    say(fields([(name, value) for name, value in facts if value]))
    styles: dict[str, Any] = {"error": "red", "warning": "yellow"}
    for problem in problems:
        say(
            Text.assemble(
                (f"{problem.level:<8}", styles[problem.level]),
                (safe(problem.where), "bold"),
                ": ",
                safe(problem.message),
            )
        )
        say(Text(f"        {safe(problem.remedy)}"))
    errors = sum(problem.level == "error" for problem in problems)
    warnings = len(problems) - errors
    if not problems:
        say(Text("No problems found.", style="green"))
    else:
        say(f"{count(errors, 'error')}, {count(warnings, 'warning')}.")
