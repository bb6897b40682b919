"""How values look to people: times, states, arguments, tables that fit the terminal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

T = TypeVar("T")
SECOND: Final = 1_000_000

STATE_STYLE: Final = {
    "scheduled": "blue",
    "available": "cyan",
    "parked": "bright_blue",
    "running": "yellow",
    "retryable": "magenta",
    "completed": "green",
    "cancelled": "bright_black",
    "discarded": "red",
}

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def wall_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def safe(text: str) -> str:
    """`text` without what could steer a terminal: jobs hold other people's text."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def one_line(text: str, limit: int = 100) -> str:
    """`text` on one line of at most `limit` characters."""
    flat = safe(" ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def micros(span: str) -> int:
    """A duration as people write it, in microseconds. Raises ValueError for text that is none."""
    from tidewheel import keep  # the public name that reads a duration

    return keep(age=span).age or 0


def human(micros: int) -> str:
    """A duration in at most two units: 850ms, 4.2s, 12s, 5m, 1h30m, 2d4h."""
    if micros < SECOND:
        return f"{max(micros, 0) // 1000}ms"
    if micros < 10 * SECOND:
        return f"{micros / SECOND:.1f}".removesuffix(".0") + "s"
    whole = micros // SECOND
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return "".join(parts[:2])


def _coarse(micros: int) -> str:
    """The largest unit alone, as people say it: 40s, 5m, 3h, 2d."""
    whole = micros // SECOND
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * size or (whole >= size and unit != "d"):
            return f"{whole // size}{unit}"
    return f"{whole}s"


def relative(at: int | None, now: int) -> str:
    """A moment seen from `now`: `in 5m`, `now`, `3s ago`."""
    if at is None:
        return "-"
    away = at - now
    if abs(away) < SECOND:
        return "now"
    return f"in {_coarse(away)}" if away > 0 else f"{_coarse(-away)} ago"


def moment(at: int | None, now: int) -> str:
    """A moment in full: `3s ago (2026-01-31 09:00:00 UTC)`."""
    if at is None:
        return "-"
    return f"{relative(at, now)} ({iso(at)[:19].replace('T', ' ')} UTC)"


def iso(at: int) -> str:
    """RFC 3339, UTC, with microseconds."""
    try:
        whole = datetime.fromtimestamp(at // SECOND, UTC)
    except (ValueError, OverflowError, OSError):
        return str(at)  # a row that nobody wrote on purpose is still shown
    return whole.replace(microsecond=at % SECOND, tzinfo=None).isoformat(timespec="microseconds") + "Z"


def state(name: str) -> Text:
    """A state in its colour."""
    from rich.text import Text

    return Text(str(name), style=STATE_STYLE.get(str(name), ""))


def call(arguments: Any, limit: int = 100) -> str:
    """Arguments as one would write them: `to="a", n=3`."""
    if isinstance(arguments, dict):
        parts = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items()]
        return one_line(", ".join(parts), limit)
    return one_line(json.dumps(arguments, ensure_ascii=False), limit)


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 job`, `2 jobs`, `12,000 jobs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


@dataclass(frozen=True)  # slots, frozen and Generic together do not work in Python 3.11
class Column(Generic[T]):
    """One column: its title, what it shows, and how soon it goes when the terminal is narrow (0 stays)."""

    title: str
    show: Callable[[T], str | Text]
    rank: int = 0
    right: bool = False
    flexible: bool = False
    """May be cut with an ellipsis; the others are shown whole or not at all."""


def table(rows: Sequence[T], columns: Sequence[Column[T]], width: int) -> Table:
    """A table no wider than `width`: the columns of the highest rank are left out until the rest fits."""
    from rich.table import Table
    from rich.text import Text

    cells = {
        column.title: [cell if isinstance(cell := column.show(row), Text) else Text(safe(cell)) for row in rows]
        for column in columns
    }
    needs = {
        column.title: max([len(column.title), *(_least(column, cell) for cell in cells[column.title])])
        for column in columns
    }
    kept = list(columns)
    while (spare := width + 2 - sum(needs[c.title] + 2 for c in kept)) < 0 and any(c.rank for c in kept):
        kept.remove(max(kept, key=lambda c: c.rank))
    # What is left goes to the columns that may be cut, the most important one first.
    natural = {c.title: max([len(c.title), *(cell.cell_len for cell in cells[c.title])]) for c in kept}
    for column in sorted(kept, key=lambda c: c.rank):
        more = min(max(spare, 0), natural[column.title] - needs[column.title])
        needs[column.title] += more
        spare -= more
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in kept:
        # The last resort on a very narrow terminal is to fold: an id that is cut is useless.
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=spare >= 0,
            overflow="ellipsis" if column.flexible else "fold",
            max_width=needs[column.title] if column.flexible else None,
        )
    for index in range(len(rows)):
        made.add_row(*(cells[column.title][index] for column in kept))
    return made


def _least(column: Column[T], cell: Text) -> int:
    return min(cell.cell_len, 12) if column.flexible else cell.cell_len


def fields(pairs: Sequence[tuple[str, str | Text]]) -> Table:
    """Name and value, one pair a line; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bright_black", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if isinstance(value, Text) or value:
            made.add_row(name, value if isinstance(value, Text) else Text(safe(value)))
    return made


def print_table(rows: Sequence[T], columns: Sequence[Column[T]], *, empty: str) -> None:
    """Print the table, or the sentence `empty` when there are no rows."""
    from tidewheel._cli.output import console, say

    say(table(rows, columns, console().width) if rows else empty)
