"""`tidewheel dev`: a worker that starts again when the code changes, and says what each job does.

The parent never imports the app: it watches files and keeps one child, `tidewheel dev APP --no-reload`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tidewheel._cli import logs, plain
from tidewheel._cli.output import emit, json_option
from tidewheel._cli.params import Name, app_argument, examples
from tidewheel._cli.show import iso, safe
from tidewheel._cli.worker import CHILD, banner, exit_code, run_worker, worker_options
from tidewheel._engine.supervisor import Child, Exited, Process, Signalled, how_it_ended

if TYPE_CHECKING:
    from tidewheel import Event
    from tidewheel._cli.reload import Watcher

POLL: Final = 0.5
"""Seconds between two looks at the files."""
GRACE: Final = 3.0
"""Seconds a job has to finish when the code changed."""
PATIENCE: Final = GRACE + 8.0
"""Seconds until a child that does not end is killed: its worker hands jobs back after the grace."""
EVENTS: Final = {
    "job.started": ("started", "cyan"),
    "job.completed": ("completed", "green"),
    "job.failed": ("failed", "magenta"),
    "job.discarded": ("discarded", "red"),
    "job.cancelled": ("cancelled", "bright_black"),
    "job.snoozed": ("snoozed", "blue"),
    "job.released": ("released", "bright_black"),
    "job.stalled": ("lease lost", "red"),
}
LOGGED: Final = ("job.failed", "job.discarded")
"""Events that the log tells already, with their stack."""


@click.command(epilog=examples("tidewheel dev shop.jobs:app"))
@app_argument
@click.option(
    "--queue", "-q", "queues", metavar="QUEUE[=WEIGHT]", multiple=True, help="Repeatable [default: those of its tasks]."
)
@click.option("--concurrency", "-c", type=click.IntRange(1), help="Async jobs at a time [default: 100].")
@click.option("--reload/--no-reload", default=True, help="Start again when a .py file of the app changes.")
@click.option(
    "--watch",
    "folders",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Watch this folder too; repeatable.",
)
@click.option("--log-level", type=Name(logs.LEVELS), default="info", show_default=True, help="What to log.")
@json_option
def dev(app: str, reload: bool, folders: tuple[Path, ...], log_level: str, as_json: bool, **given: Any) -> int:
    """Run a worker of APP for development: it restarts when the code changes and prints what jobs do.

    With --json each event of a job is one line on stdout.
    """
    if reload:
        return _parent(app, folders)
    from tidewheel._cli.load import load_app

    logs.set_up(log_level, "text")
    found = load_app(app)
    restarted = int(os.environ.get(CHILD, "0")) > 1
    options = worker_options(given) | {"grace": GRACE}
    for name in EVENTS:
        if as_json:
            found.on(name, _json_event)
        elif log_level == "error" or name not in LOGGED:
            found.on(name, _print_event)
    if restarted:
        click.echo(click.style("reloaded", fg="cyan", bold=True), err=True)
    else:
        banner(found, app, options)
        if found.url.startswith("memory:"):
            click.echo("  memory:// forgets its jobs at every reload, and only this process sees them.", err=True)
    with contextlib.redirect_stdout(sys.stderr):  # what handlers print
        return exit_code(run_worker(found, app, options, use_uvloop=False, quiet=True))


def _print_event(event: Event) -> None:
    word, colour = EVENTS[event.name]
    clock = time.strftime("%H:%M:%S", time.localtime(event.at // 1_000_000))
    job = event.data.get("job")
    name = f"{job.kind}  {job.id}" if job is not None else str(event.data.get("lease", ""))
    click.echo(f"{clock} {_coloured(f'{word:<10}', colour)} {safe(name)}{_tail(event)}", err=True)


def _tail(event: Event) -> str:
    """What there is to say about the end of an attempt: how long it took, what went wrong, when it goes on."""
    from tidewheel._cli.show import human, one_line

    job, outcome = event.data.get("job"), event.data.get("outcome")
    if job is None or outcome is None:
        return f"  attempt {job.attempt} of {job.max_attempts}" if job is not None and job.attempt > 1 else ""
    tail = f"  {human(max(event.at - job.claimed_at, 0))}"
    if (error := getattr(outcome, "error", None)) is not None:
        tail += f"  {one_line(f'{error.type}: {error.message}')}"
    if reason := getattr(outcome, "reason", ""):
        tail += f"  {one_line(reason)}"
    if (after := getattr(outcome, "after", None)) is not None:
        tail += f"  again in {human(after)}"
    return tail


def _coloured(text: str, colour: str) -> str:
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=colour)


def _json_event(event: Event) -> None:
    job, outcome = event.data.get("job"), event.data.get("outcome")
    line: dict[str, Any] = {"event": event.name, "at": iso(event.at)}
    if job is not None:
        line |= {"id": job.id, "task": job.kind, "queue": job.queue, "attempt": job.attempt}
    if job is not None and outcome is not None:
        line |= {"error": plain.plain(getattr(outcome, "error", None)), "took": (event.at - job.claimed_at) / 1_000_000}
    with contextlib.redirect_stdout(sys.__stdout__):
        emit(line, line=True)


def _parent(app: str, folders: tuple[Path, ...]) -> int:
    from tidewheel._cli.load import make_importable
    from tidewheel._cli.reload import Watcher, source_folder

    make_importable()
    watched = [source_folder(app), *folders]
    watcher = Watcher(watched)
    click.echo(f"Watching {watcher.watched} .py files in {', '.join(map(str, watched))}.", err=True)
    if watcher.cut:
        click.echo(f"  There are more; only the first {watcher.watched} are watched.", err=True)
    command = [sys.executable, "-m", "tidewheel", "dev", *_child_arguments()]
    made = Reloader(lambda number: Process(command, number), watcher)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda got, _frame: made.stop(got))
    return made.run()


def _child_arguments() -> list[str]:
    parameters = click.get_current_context().params
    words = ["--no-reload", "--log-level", parameters["log_level"]]
    words += [word for name in parameters["queues"] for word in ("--queue", name)]
    if parameters["concurrency"]:
        words += ["--concurrency", str(parameters["concurrency"])]
    if parameters["as_json"]:
        words.append("--json")
    return [*words, "--", parameters["app"]]


class Reloader:
    """Keeps one child on the newest code.

    1. Starts the child. 2. Looks at the files. 3. On a change stops the child (kills it after the grace) and
    starts the next. A child that ended by itself is not started again before a change: its code is broken.
    """

    def __init__(
        self, spawn: Callable[[int], Child], watcher: Watcher, *, say: Callable[[str], None] | None = None
    ) -> None:
        self._spawn = spawn
        self._watcher = watcher
        self._say = say or (lambda text: click.echo(text, err=True))
        self._events: queue.SimpleQueue[Exited | Signalled] = queue.SimpleQueue()
        self._child: Child | None = None
        self._number = 0

    def stop(self, signum: int) -> None:
        """End it all. The second time at once."""
        self._events.put(Signalled(signum))

    def run(self) -> int:
        """Until stopped. Gives the exit code."""
        self._start()
        while True:
            event = self._next(POLL)
            if isinstance(event, Signalled):
                self._end(event.signum)
                return 0
            if event is not None and event.number == self._number:
                self._child = None
                self._say(
                    f"The worker {how_it_ended(event.code)}. Waiting for a change of the code; Ctrl-C ends it all."
                )
            if changed := self._watcher.changed():
                more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
                self._say(f"{changed[0]}{more} changed: reloading.")
                if self._end(signal.SIGTERM):
                    return 0
                self._start()

    def _start(self) -> None:
        self._number += 1
        number, child = self._number, self._spawn(self._number)
        self._child = child
        threading.Thread(target=lambda: self._events.put(Exited(number, child.pid, child.wait())), daemon=True).start()

    def _end(self, signum: int) -> bool:
        """Stop the child and wait for it. True when a signal came meanwhile: the user wants out."""
        if self._child is None:
            return False
        self._child.stop(signum)
        interrupted = False
        while True:
            event = self._next(PATIENCE)
            if isinstance(event, Exited):
                if event.number == self._number:
                    self._child = None
                    return interrupted
            else:
                interrupted = interrupted or event is not None
                self._child.kill()

    def _next(self, timeout: float) -> Exited | Signalled | None:
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None
