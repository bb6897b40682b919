"""The `tidewheel` command: names and one-line summaries; each command's file loads when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, cast

import click

from tidewheel._cli import errors


class LazyGroup(click.Group):
    """A group whose commands are `name -> (module:attribute, summary)`, imported on first use.

    The help page is written from the summaries, so `--help` imports no command.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy: Final = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f"tidewheel._cli.{module}"), attribute)
        return cast("click.Command", command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.lazy and not name.startswith("-"):
            hint = errors.did_you_mean(name, self.lazy)
            ctx.fail(f"No such command {name!r}. {hint or 'Commands: ' + ', '.join(self.lazy) + '.'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.lazy.items()])


COMMANDS: Final = {
    "worker": ("worker:worker", "Run jobs until stopped."),
    "dev": ("dev:dev", "Run a worker that restarts when the code changes."),
    "enqueue": ("enqueue:enqueue", "Enqueue one job."),
    "outbox": ("outbox:outbox", "Hand over the jobs of an outbox until stopped."),
    "why": ("why:why", "Say why a job does not run, or where it does."),
    "jobs": ("jobs:jobs", "List, show, retry, cancel, promote and delete jobs."),
    "queues": ("queues:queues", "List, pause, resume, drain and clean queues."),
    "tasks": ("tasks:tasks", "List, pause and resume tasks."),
    "limits": ("limits:limits", "List, show, set, clear, pause and resume limits."),
    "deadletters": ("deadletters:deadletters", "List, show, requeue and purge dead letters."),
    "workers": ("workers:workers", "List the live workers."),
    "check": ("check:check", "Check an app, its settings and its store; show all problems at once."),
    "migrate": ("migrate:migrate", "Create the store's tables or bring them up to date."),
    "bench": ("bench:bench", "Measure a store on this machine."),
    "demo": ("demo:demo", "Watch real jobs run: thumbnails, mail, reports."),
    "version": ("version:version", "Show the versions of Tidewheel and what it stands on."),
}

EPILOG: Final = (
    "\b\nExit codes:\n"
    + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in errors.EXIT_CODES)
    + """

\b
Environment:
  TIDEWHEEL_APP    the app when none is named, as module:attribute
  TIDEWHEEL_STORE  the store's URL when no app is named
  TIDEWHEEL_DEBUG  1 shows stack traces
  NO_COLOR         no colours"""
)


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from tidewheel._cli.version import installed

        click.echo(f"tidewheel {installed('tidewheel')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli() -> None:
    """Background jobs on the database you already have.

    APP is written module:attribute, as in `shop.jobs:app`. Every command takes --json.
    """


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code. No error leaves as a stack trace."""
    args = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a job's text must not break a terminal that cannot show it
    as_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    try:
        code = cli.main(args=args, prog_name="tidewheel", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else errors.OK
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return errors.USAGE
    except BrokenPipeError:
        _silence_stdout()
        return errors.FAILURE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- the last line of defence: it is reported
        return errors.report(error, as_json=as_json)


def _silence_stdout() -> None:
    """The reader (`| head`) went away: without this the interpreter complains at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def not_found(what: str, **kwargs: str) -> NoReturn:
    """End with the exit code for things that do not exist."""
    raise errors.CliError(what, code=errors.NOT_FOUND, **kwargs)
