"""`tidewheel worker`: run jobs, in this process or in several supervised ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from tidewheel._cli import logs
from tidewheel._cli.errors import OK, RECYCLE, USAGE, CliError
from tidewheel._cli.output import emit, json_option
from tidewheel._cli.params import SPAN, Name, app_argument, examples
from tidewheel._cli.target import without_password

if TYPE_CHECKING:
    from tidewheel import App

CHILD: Final = "TIDEWHEEL_CHILD"


@click.command(
    epilog=examples(
        "tidewheel worker shop.jobs:app --queue email --queue default --concurrency 50",
        "tidewheel worker shop.jobs:app --queue high=5 --queue low=1",
        "tidewheel worker shop.jobs:app --processes 2 --max-memory 512MB",
    )
)
@app_argument
@click.option(
    "--queue",
    "-q",
    "queues",
    metavar="QUEUE[=WEIGHT]",
    multiple=True,
    help="Repeatable; its share of the slots is its weight [default: those of its tasks, all alike].",
)
@click.option(
    "--order",
    type=Name(("weighted", "strict")),
    help="Share slots by weight, or strictly the first --queue first [default: weighted].",
)
@click.option("--concurrency", "-c", type=click.IntRange(1), help="Async jobs at a time [default: 100].")
@click.option("--threads", type=click.IntRange(1), help="Plain functions at a time, each in a thread [default: 16].")
@click.option(
    "--cpu-processes",
    type=click.IntRange(1),
    help="CPU-bound functions at a time, each in a process [default: one per core].",
)
@click.option("--processes", type=click.IntRange(1), default=1, help="Worker processes, supervised [default: 1].")
@click.option("--lease", type=SPAN, help="How long a job is held without a sign of life [default: 30s].")
@click.option("--grace", type=SPAN, help="How long running jobs may finish after a stop [default: 30s].")
@click.option("--wait", type=SPAN, help="How long a start waits for a store that is away [default: 1m].")
@click.option("--max-jobs", type=click.IntRange(1), help="Recycle a process after so many jobs (exit code 75).")
@click.option("--max-memory", metavar="SIZE", help="Recycle a process above this, as 512MB (exit code 75).")
@click.option("--drain", is_flag=True, help="Stop when nothing is left to run.")
@click.option("--log-level", type=Name(logs.LEVELS), default="info", show_default=True, help="What to log.")
@click.option("--log-format", type=Name(("text", "json")), default="text", show_default=True, help="How, to stderr.")
@click.option("--uvloop/--no-uvloop", default=None, help="Use uvloop [default: when it is installed].")
@json_option
def worker(app: str, processes: int, as_json: bool, log_level: str, log_format: str, **given: Any) -> int:
    """Run jobs of APP until SIGTERM or Ctrl-C. The first asks jobs to finish, a second one stops at once."""
    use_uvloop = given.pop("uvloop")
    child = os.environ.get(CHILD, "")
    logs.set_up(log_level, log_format, number=child)
    if processes > 1:
        return supervise(app, processes, as_json=as_json, grace=given["grace"])
    from tidewheel._cli.load import load_app

    found = load_app(app)
    options = worker_options(given)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        reason = run_worker(found, app, options, use_uvloop=use_uvloop, quiet=bool(child))
    if as_json:
        emit({"app": app, "stopped": reason})
    return exit_code(reason)


def worker_options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of the command as keywords of `App.worker`; what was not given keeps its default there."""
    names = {"cpu_processes": "processes", "drain": "drain_and_exit"}
    options = {names.get(name, name): value for name, value in given.items() if value not in (None, (), False)}
    if "queues" in options:
        options["queues"] = queues_of(options["queues"])
    return options


def queues_of(words: Sequence[str]) -> tuple[str, ...] | dict[str, int]:
    """What `--queue` said, as `App.worker` takes it: names, or weights by name where there is one at least."""
    weights: dict[str, int | None] = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        if equals and not re.fullmatch(r"-?\d{1,9}", text):
            raise CliError(
                f"--queue {word}: {text!r} is no weight.",
                remedy=f"Give a whole number, as in {name or 'high'}=5. "
                f"A queue that has a = in its name needs a weight behind it: {word}=1.",
                code=USAGE,
            )
        name, weight = (name, int(text)) if equals else (word, None)
        if weights.setdefault(name, weight) != weight:
            raise CliError(f"--queue {name} is there twice, with two weights.", remedy="Keep one of them.", code=USAGE)
    if all(weight is None for weight in weights.values()):
        return tuple(weights)
    return {name: 1 if weight is None else weight for name, weight in weights.items()}


def run_worker(
    app: App, name: str, options: dict[str, Any], *, use_uvloop: bool | None, quiet: bool, listen: bool = True
) -> str:
    """Run a worker to its end; gives why it ended."""
    from tidewheel._engine.supervisor import stop_when_parent_ends

    if not app.tasks:
        raise CliError(
            f"{name} has no tasks, so a worker has nothing to run.",
            remedy="Decorate functions with @app.task, and import the modules they are in where the app is made.",
            code=USAGE,
        )

    async def main() -> str:
        made = app.worker(**options)
        if not quiet:
            banner(app, name, options)
        loop = asyncio.get_running_loop()
        if listen:
            stop_when_parent_ends(lambda: loop.call_soon_threadsafe(made.stop))
        try:
            return str(await made.run())  # it opens the app, when the store is there
        finally:
            await app.close()

    with asyncio.Runner(loop_factory=_loop_factory(use_uvloop)) as runner:
        return runner.run(main())


def _loop_factory(wanted: bool | None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if wanted is False:
        return None
    try:
        import uvloop
    except ImportError:
        if wanted:
            raise CliError(
                "--uvloop was given, but uvloop is not installed.",
                remedy='Install it: pip install "tidewheel[fast]", or leave the option out.',
                code=USAGE,
            ) from None
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def exit_code(reason: str) -> int:
    """The exit code for the reason a worker gave."""
    return RECYCLE if reason == "recycle" else OK


def banner(app: App, name: str, options: dict[str, Any]) -> None:
    """Say on stderr what will run: the app, its store, queues, tasks and limits."""
    from rich.text import Text

    from tidewheel import WorkerOptions
    from tidewheel._cli.errors import listed
    from tidewheel._cli.output import say
    from tidewheel._cli.show import fields, human

    made = WorkerOptions.of(**options)
    queues = made.queues or sorted({task.settings.queue for task in app.tasks.values()})
    if made.weights:
        queues = [f"{queue}={weight}" for queue, weight in zip(queues, made.weights, strict=True)]
    sorts = {task.run_in for task in app.tasks.values()}
    limits = [
        f"{number} {what}"
        for where, number, what in (
            ("loop", made.concurrency, "async jobs"),
            ("thread", made.threads, "threads"),
            ("process", made.processes, "CPU processes"),
        )
        if where in sorts
    ]
    limits += [f"lease {human(made.lease)}", f"grace {human(made.grace)}"]
    say(Text(f"tidewheel worker {name}", style="bold"), stderr=True)
    say(
        fields(
            [
                ("  store", without_password(app.url)),
                ("  queues", (", then " if made.order == "strict" else ", ").join(queues)),
                ("  tasks", listed(app.tasks)),
                ("", "  memory:// forgets its jobs with this process" if app.url.startswith("memory:") else ""),
                ("  limits", ", ".join(limits)),
                ("  stop", "Ctrl-C lets running jobs finish; a second Ctrl-C stops at once"),
            ]
        ),
        stderr=True,
    )


def supervise(app: str, processes: int, *, as_json: bool, grace: str | None) -> int:
    """Run `processes` children with this command's own arguments."""
    from tidewheel._cli.load import load_app
    from tidewheel._cli.show import SECOND, micros
    from tidewheel._engine.supervisor import Process, Supervisor

    # Loaded here too: a typo must be said once, not by every child again and again.
    found = load_app(app)
    if found.url.startswith("memory:"):
        raise CliError(
            "memory:// lives in one process, so several workers would see nothing of one another.",
            remedy="Use a store that processes share, such as sqlite:///jobs.db, or leave --processes out.",
            code=USAGE,
        )
    options = worker_options(_own_options())
    found.worker(**options)  # says what is wrong with them, if anything is
    banner(found, app, options)
    command = [sys.executable, "-m", "tidewheel", "worker", *_child_arguments()]
    made = Supervisor(
        lambda number: Process(command, number),
        processes,
        grace=micros(grace or "30s") / SECOND,
    )
    code = made.run()
    if as_json:
        emit({"app": app, "stopped": "stopped" if code == OK else "failed", "processes": processes})
    return code


def _own_options() -> dict[str, Any]:
    context = click.get_current_context()
    skipped = ("app", "as_json", "log_level", "log_format", "processes", "uvloop")
    return {name: value for name, value in context.params.items() if name not in skipped}


def _child_arguments() -> list[str]:
    """This command's parameters as a command line for one process: from what was parsed, not from sys.argv."""
    context = click.get_current_context()
    words: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if not isinstance(parameter, click.Option) or parameter.name in ("processes", "as_json"):
            continue
        if parameter.is_flag:
            if value is not None:
                words += [parameter.opts[0]] if value else parameter.secondary_opts[:1]
        elif parameter.multiple:
            words += [word for item in value or () for word in (parameter.opts[0], str(item))]
        elif value is not None:
            words += [parameter.opts[0], str(value)]
    return [*words, "--processes", "1", "--", str(context.params["app"])]
