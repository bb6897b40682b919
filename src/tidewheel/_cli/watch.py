"""`--watch`: the same picture again and again in a terminal, JSON lines or changed pictures in a pipe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tidewheel._cli.output import console, drawn, emit
from tidewheel._cli.show import SECOND, micros

if TYPE_CHECKING:
    from rich.console import RenderableType

T = TypeVar("T")

SHORTEST = 0.1
"""Seconds: watching must not load the store."""


async def watch(
    ask: Callable[[], Awaitable[T]],
    document: Callable[[T], Any],
    picture: Callable[[T], RenderableType],
    *,
    as_json: bool,
    every: str,
    ended: Callable[[T], bool],
) -> None:
    """Ask and show until `ended` says so or the user presses Ctrl-C, which is the normal way out."""
    pause = max(micros(every) / SECOND, SHORTEST)
    try:
        if as_json:
            await _lines(ask, document, pause, ended)
        else:
            await _pictures(ask, picture, pause, ended)
    except asyncio.CancelledError:
        if not _interrupted():
            raise


async def _lines(
    ask: Callable[[], Awaitable[T]], document: Callable[[T], Any], pause: float, ended: Callable[[T], bool]
) -> None:
    last: Any = None
    while True:
        found = await ask()
        made = document(found)
        if made != last:
            emit(made, line=True)
            last = made
        if ended(found):
            return
        await asyncio.sleep(pause)


async def _pictures(
    ask: Callable[[], Awaitable[T]], picture: Callable[[T], RenderableType], pause: float, ended: Callable[[T], bool]
) -> None:
    from rich.live import Live

    out = console()
    if not out.is_terminal:
        last = ""
        while True:
            found = await ask()
            if (made := drawn(picture(found))) != last:
                click.echo(made)
                last = made
            if ended(found):
                return
            await asyncio.sleep(pause)
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            found = await ask()
            live.update(picture(found), refresh=True)
            if ended(found):
                return
            await asyncio.sleep(pause)


def _interrupted() -> bool:
    """`asyncio.run` turns Ctrl-C into a cancelled main task; nothing else cancels ours."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
