"""Writing to the two streams: JSON for programs on stdout, rich text for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

F = TypeVar("F", bound=Callable[..., Any])

PIPE_WIDTH: Final = 400
"""Columns assumed when stdout is no terminal: nothing is cut for `grep`."""


def json_option(command: F) -> F:
    """The `--json` every command has."""
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout and nothing else.")
    return option(command)


def emit(document: Any, *, line: bool = False) -> None:
    """Print one JSON document to stdout: indented, or as a single line of a stream."""
    layout: dict[str, Any] = {"separators": (",", ":")} if line else {"indent": 2}
    text = json.dumps(document, ensure_ascii=False, **layout)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeError:
        text = json.dumps(document, ensure_ascii=True, **layout)
    click.echo(text)


def console(*, stderr: bool = False) -> Console:
    """Where people read. rich looks at the terminal, NO_COLOR, FORCE_COLOR and COLUMNS by itself."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if made.is_terminal or "COLUMNS" in os.environ:
        return made
    return Console(stderr=stderr, highlight=False, emoji=False, markup=False, width=PIPE_WIDTH)


def say(picture: RenderableType, *, stderr: bool = False) -> None:
    """Print something for people: text, a table, a page."""
    if isinstance(picture, str):
        from rich.text import Text

        from tidewheel._cli.show import safe

        picture = Text(safe(picture))
    out = console(stderr=stderr)
    if out.is_terminal:
        out.print(picture)
        return
    click.echo(drawn(picture, stderr=stderr), err=stderr)


def drawn(picture: RenderableType, *, stderr: bool = False) -> str:
    """The picture as lines. rich pads table cells to the width of their column: noise in a pipe."""
    out = console(stderr=stderr)
    with out.capture() as capture:
        out.print(picture)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))


def interactive() -> bool:
    """True when a person can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something that cannot be taken back.

    Raises:
        CliError: the answer is no, or nobody can answer.
    """
    from tidewheel._cli.errors import FAILURE, USAGE, CliError

    if yes:
        return
    if as_json or not interactive():
        raise CliError(
            f"This would {question}.",
            remedy="Add --yes to do it without being asked.",
            then="Nothing was changed.",
            code=USAGE,
        )
    if not click.confirm(f"This will {question}. Go on?", err=True):
        raise CliError("Answered no: nothing was changed.", code=FAILURE)
