"""What the command line says when something is wrong, and the exit code it ends with."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Iterable
from typing import Any, Final

import click

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
STORE: Final = 3
NOT_FOUND: Final = 4
PROBLEMS: Final = 5
RECYCLE: Final = 75
INTERRUPTED: Final = 130

EXIT_CODES: Final = (
    (OK, "it worked"),
    (FAILURE, "it did not: the reason is on stderr"),
    (USAGE, "wrong usage, or an app or setting that cannot work"),
    (STORE, "the store is unavailable or unusable"),
    (NOT_FOUND, "no such job, task, queue or limit"),
    (PROBLEMS, "`check` found problems"),
    (RECYCLE, "the worker asks to be started again (--max-jobs, --max-memory)"),
    (INTERRUPTED, "interrupted with Ctrl-C"),
)


class CliError(Exception):
    """An error in the user's words: what is wrong (with the value), what to do, what happens next."""

    def __init__(self, what: str, *, remedy: str = "", then: str = "", code: int = FAILURE) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.then = then
        self.code = code


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?`, or nothing when no known name is near."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(given.lower(), lowered, n=2, cutoff=0.6)
    if not near:
        # "welcome" for "email.send_welcome": people leave out the module.
        near = [name for name in lowered if len(given) > 2 and given.lower() in name][:2]
    return f"Did you mean {' or '.join(repr(lowered[name]) for name in near)}?" if near else ""


def listed(names: Iterable[str], limit: int = 12) -> str:
    """The names, sorted, cut after `limit`."""
    known = sorted(names)
    shown = ", ".join(known[:limit])
    return f"{shown}, ... ({len(known)} in all)" if len(known) > limit else shown


def debugging() -> bool:
    """True when the user asked for stack traces with TIDEWHEEL_DEBUG=1."""
    return os.environ.get("TIDEWHEEL_DEBUG", "") not in ("", "0")


def explain(error: BaseException) -> CliError:
    """Any error as one a person can act on."""
    while isinstance(error, BaseExceptionGroup):  # what a task group wraps around the error of one of its parts
        error = error.exceptions[0]
    if isinstance(error, CliError):
        return error
    if isinstance(error, click.UsageError):
        return CliError(error.format_message(), remedy=_help_hint(error), code=USAGE)
    if isinstance(error, click.ClickException):
        return CliError(error.format_message())
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return CliError("Interrupted.", code=INTERRUPTED)
    return _explain_ours(error)


def _explain_ours(error: BaseException) -> CliError:
    from tidewheel import (
        ConfigError,
        EncodeError,
        JobNotFound,
        LimitKeyError,
        LimitNotFound,
        StoreError,
        TidewheelError,
    )

    if isinstance(error, ConfigError):
        several = len(error.problems) > 1
        problems = "\n".join(f"- {problem}" for problem in error.problems)
        return CliError(f"The configuration cannot work:\n{problems}" if several else str(error), code=USAGE)
    if isinstance(error, StoreError):
        then = "The same command may work later: nothing was changed." if error.retriable else ""
        return CliError(str(error), then=then, code=STORE)
    if isinstance(error, TidewheelError):
        code = FAILURE
        if isinstance(error, JobNotFound | LimitNotFound):
            code = NOT_FOUND
        elif isinstance(error, EncodeError | LimitKeyError):
            code = USAGE
        return CliError(str(error), code=code)
    return CliError(
        f"{type(error).__name__}: {error}",
        remedy="This was not foreseen. TIDEWHEEL_DEBUG=1 shows the stack; please report it with that.",
    )


def _help_hint(error: click.UsageError) -> str:
    if error.ctx is None or any(word in error.format_message() for word in ("Did you mean", "--help")):
        return ""
    return f"See `{error.ctx.command_path} --help`."


def report(error: BaseException, *, as_json: bool) -> int:
    """Say the error on stderr (and as the one JSON document on stdout when asked for); give the exit code."""
    if debugging() and not isinstance(error, click.exceptions.ClickException | click.Abort):
        traceback.print_exception(error, file=sys.stderr)
    plain = explain(error)
    head = "Error:"
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        head = click.style(head, fg="red", bold=True)
    if plain.code == INTERRUPTED:
        click.echo(plain.what, err=True)
    else:
        click.echo(f"{head} {_indented(plain.what)}", err=True)
    for line in (plain.remedy, plain.then):
        if line:
            click.echo(f"  {_indented(line)}", err=True)
    if as_json:
        from tidewheel._cli.output import emit

        document: dict[str, Any] = {"message": plain.what, "remedy": plain.remedy, "then": plain.then}
        emit({"error": {key: value for key, value in document.items() if value} | {"code": plain.code}})
    return plain.code


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n  ")
