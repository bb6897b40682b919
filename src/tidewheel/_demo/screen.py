"""What the person sees while it runs: a picture that moves, or lines."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol, Self, TextIO

import msgspec

from tidewheel._demo import board as moods
from tidewheel._demo import rows
from tidewheel._demo.board import Board, Group, Line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from tidewheel import Job

STATES = ("scheduled", "available", "running", "retryable", "completed", "discarded")
_SHORT = {
    "scheduled": "sched.", "available": "avail.", "running": "running", "retryable": "retry",
    "completed": "done", "discarded": "dead",
}  # fmt: skip
_NAMES = {rows.PICTURES: "Thumbnails", rows.MAILS: "Mails", rows.CHORES: "Odd jobs", rows.REPORTS: "Reports"}
_COLOURS = {rows.PICTURES: "cyan", rows.MAILS: "magenta", rows.CHORES: "yellow", rows.REPORTS: "green"}
_STATE_COLOURS = {
    "scheduled": "blue", "available": "white", "running": "bold cyan", "retryable": "yellow",
    "completed": "green", "discarded": "red",
}  # fmt: skip
_MOODS = {moods.GOOD: "green", moods.PLAIN: "white", moods.WARN: "yellow", moods.BAD: "red", moods.MARK: "bold blue"}
_SIGNS = {moods.GOOD: "✓", moods.PLAIN: "·", moods.WARN: "!", moods.BAD: "✗", moods.MARK: "»"}
_LINES_EVERY = 2.0


class Screen(Protocol):
    """Shows a board. Use it as `with screen: screen.show(board, seconds)`."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, board: Board, seconds: float) -> None:
        """Show the board as it is now, `seconds` after the start."""


def choose_screen(*, plain: bool, quiet: bool) -> Screen:
    """The moving picture on a terminal that can show it; lines elsewhere; on stderr when stdout is for JSON."""
    stream = sys.stderr if quiet else sys.stdout
    if plain or quiet or not stream.isatty() or os.environ.get("TERM") in ("dumb", ""):
        return PlainScreen(stream)
    return LiveScreen(stream)


class PlainScreen:
    """A line for everything that happens, and the counts now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: Line | None = None
        self._counted = 0.0
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, board: Board, seconds: float) -> None:
        """See `Screen`."""
        lines = list(board.lines)
        known = next((i for i in range(len(lines) - 1, -1, -1) if lines[i] is self._said), -1)
        for line in lines[known + 1 :]:
            self._print(line.at, f"{_SIGNS[line.mood]} {line.text}")
            self._said = line
        if seconds - self._counted >= _LINES_EVERY and board.jobs:
            counts = ", ".join(f"{_NAMES[one.name].lower()} {int(one.done)}/{one.planned}" for one in _shown(board))
            if counts != self._last:
                self._print(seconds, f"  {counts}")
            self._counted, self._last = seconds, counts

    def _print(self, at: float, text: str) -> None:
        print(f"{at:6.1f}s  {text}", file=self._stream, flush=True)


class LiveScreen:
    """A picture of bars, counts, running jobs and the latest lines."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, board: Board, seconds: float) -> None:
        """See `Screen`."""
        self._live.update(picture(board, seconds, self._console), refresh=True)


def picture(board: Board, seconds: float, console: Console) -> RenderableType:
    """The board as one panel that fits the terminal."""
    from rich import box
    from rich.console import Group as Stack
    from rich.panel import Panel
    from rich.rule import Rule
    from rich.text import Text

    running = board.running[: min(6, max(2, console.height // 6))]
    room = console.height - len(running) - 14
    width = console.width - 6
    parts: list[RenderableType] = [_counts(board, console.width) if board.jobs else _drawing(board), Text()]
    if running:
        parts.append(Rule("running now", style="dim", align="left"))
        parts.extend(_running(job, width) for job in running)
    if room > 0 and board.lines:
        parts.append(Rule("latest", style="dim", align="left"))
        parts.extend(_latest(line, width) for line in list(board.lines)[-room:])
    return Panel(
        Stack(*parts),
        box=box.ROUNDED,
        title=f"[bold]Tidewheel demo[/] [dim]{seconds:5.1f} s[/]",
        title_align="left",
        subtitle=_footer(board),
        subtitle_align="right",
        border_style="blue",
        padding=(0, 1),
    )


def _footer(board: Board) -> Text:
    from rich.text import Text

    if board.task:
        return Text(board.task, "yellow")
    parts = [Text(board.past, "red")] if board.past else []
    return Text(" · ", "dim").join([*parts, Text(board.worker, "green")])


def _counts(board: Board, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    wide = width >= 104
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0), header_style="dim")
    table.add_column("work", no_wrap=True)
    table.add_column("", ratio=1, min_width=8)
    table.add_column("ended", justify="right", no_wrap=True)
    for state in STATES:
        table.add_column(state if wide else _SHORT[state], justify="right", no_wrap=True)
    for group in _shown(board):
        colour = _COLOURS[group.name]
        full = group.planned > 0 and group.done >= group.planned
        bar = ProgressBar(
            total=max(1, group.planned),
            completed=group.done,
            complete_style=colour,
            finished_style="green",
            style="grey23",
        )
        numbers = [_number(group, state) for state in STATES]
        sign = "[green]✓[/]" if full else " "
        table.add_row(f"{sign} [{colour}]{_NAMES[group.name]}[/]", bar, f"{int(group.done)}/{group.planned}", *numbers)
    return table


def _drawing(board: Board) -> RenderableType:
    """The bar before there are jobs."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True)
    done, of = board.drawn
    bar = ProgressBar(total=max(1, of), completed=done, complete_style="cyan", finished_style="green", style="grey23")
    table.add_row("Drawing pictures", bar, f"{done}/{of}")
    return table


def _number(group: Group, state: str) -> str:
    count = next((number for one, number in group.states.items() if one.value == state), 0)
    return f"[{_STATE_COLOURS[state]}]{count}[/]" if count else "[grey35]0[/]"


def _running(job: Job, width: int) -> RenderableType:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("  ▸ ", _COLOURS.get(job.queue, "white"))
    text.append(rows.subject(job))
    if job.attempt > 1:
        text.append(f"  attempt {job.attempt}", "yellow")
    progress = msgspec.json.decode(job.progress) if job.progress else None
    if progress and progress.get("now"):
        done, of = int(progress["done"]), int(progress["of"])
        text.append(f"  {'▪' * done}", "cyan")
        text.append("▪" * (of - done), "grey35")
        text.append(f"  {progress['now']}", "dim")
    text.truncate(width)
    return text


def _latest(line: Line, width: int) -> RenderableType:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{line.at:6.1f} ", "dim")
    text.append(f"{_SIGNS[line.mood]} {line.text}", _MOODS[line.mood])
    text.truncate(width, overflow="ellipsis")
    return text


def _shown(board: Board) -> list[Group]:
    return [group for group in board.groups.values() if group.planned]
