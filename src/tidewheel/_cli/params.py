"""Parameter types and option sets that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from tidewheel._cli.errors import USAGE, CliError, did_you_mean
from tidewheel._cli.show import micros

F = TypeVar("F", bound=Callable[..., Any])

_NUMBER: Final = re.compile(r"\d+(\.\d+)?")
_SPAN: Final = re.compile(r"\s*(\d+(\.\d+)?\s*[A-Za-z]+\s*,?\s*)+")


class Span(click.ParamType[str]):
    """A duration, as the API takes it: 90s, 1h30m, or a bare number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        if _NUMBER.fullmatch(text):
            text += "s"
        try:
            micros(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return text


class Name(click.ParamType[str]):
    """One of a few words; a near miss is answered with the word meant."""

    name = "name"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = tuple(known)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002 -- click's
        return f"[{'|'.join(self.known)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).lower()
        if text not in self.known:
            hint = did_you_mean(text, self.known) or f"Choose from {', '.join(self.known)}."
            self.fail(f"{value!r} is none of them. {hint}", param, ctx)
        return text


SPAN: Final = Span()
STATES: Final = ("scheduled", "available", "parked", "running", "retryable", "completed", "cancelled", "discarded")
STATE: Final = Name(STATES)


def examples(*lines: str) -> str:
    """The end of a help page: command lines to copy."""
    return "\b\n" + ("Examples:" if len(lines) > 1 else "Example:") + "".join(f"\n  {line}" for line in lines)


def app_argument(command: F) -> F:
    """The positional APP of commands that run an app's code."""

    def named(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
        if not value:
            raise CliError(
                "No app was named.",
                remedy="Give it as module:attribute, as in shop.jobs:app, or set TIDEWHEEL_APP.",
                code=USAGE,
            )
        return value

    return click.argument("app", envvar="TIDEWHEEL_APP", metavar="APP", required=False, callback=named)(command)


def store_options(command: F) -> F:
    """`--app` and `--store` of commands that look at a store."""
    command = click.option("--store", metavar="URL", help="The store itself [env: TIDEWHEEL_STORE].")(command)
    return click.option("--app", metavar="APP", help="The app whose store it is [env: TIDEWHEEL_APP].")(command)


def yes_option(command: F) -> F:
    """`--yes` of commands that take something away."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(command)


class OptionalValue(click.Command):
    """A command with options whose value may be left out, next to positional arguments.

    `--watch ID` must not take the ID for its value, so a following word counts only when it looks like a
    duration. `optional` maps each such option to the value it has when none is given.
    """

    def __init__(self, *args: Any, optional: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.optional = optional

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rewritten: list[str] = []
        rest = iter(args)
        waiting = ""
        for word in rest:
            if waiting:
                taken = bool(_NUMBER.fullmatch(word) or _SPAN.fullmatch(word))
                rewritten.append(f"{waiting}={word if taken else self.optional[waiting]}")
                waiting = ""
                if taken:
                    continue
            if word == "--":
                rewritten.append(word)
                rewritten.extend(rest)
            elif word in self.optional:
                waiting = word
            else:
                rewritten.append(word)
        if waiting:
            rewritten.append(f"{waiting}={self.optional[waiting]}")
        return super().parse_args(ctx, rewritten)
