"""How jobs look: the table of `jobs list`, the page of `jobs show`, a log line."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tidewheel._cli import plain
from tidewheel._cli.show import Column, call, fields, human, moment, one_line, relative, safe, state, table, wall_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidewheel import AttemptRecord, Child, ErrorInfo, History, Job, LogLine, Page

_LEVEL_STYLE = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "red"}
_LOG_TAIL = 20
_CHILDREN = 20
"""So many children are shown, those that have not ended first."""
_PARKED = {":children": "until its children have ended", ":expired": "because its time is over"}


def job_table(page: Page, width: int, *, filtered: bool) -> RenderableType:
    """The table of a page, and how to see the next one."""
    if not page.jobs:
        return Text("No job matches." if filtered else "There are no jobs.")
    now = wall_clock()
    columns = [
        Column[Any]("ID", lambda row: row.id),
        Column[Any]("STATE", lambda row: state(row.state)),
        Column[Any]("TASK", lambda row: row.kind, rank=1),
        Column[Any]("WHEN", lambda row: when(row, now), rank=2),
        Column[Any]("TRY", lambda row: f"{row.attempt}/{row.max_attempts}", rank=4, right=True),
        Column[Any]("QUEUE", lambda row: row.queue, rank=5),
        Column[Any]("ARGUMENTS", detail, rank=3, flexible=True),
    ]
    shown = table(page.jobs, columns, width)
    if page.next is None:
        return shown
    return Group(shown, Text(f"There are more: --cursor {page.next}", style="bright_black"))


def when(row: Job, now: int) -> str:
    """The moment that matters in the job's state."""
    if row.finished_at is not None:
        return relative(row.finished_at, now)
    if row.state == "running" and row.started_at is not None:
        return f"for {human(now - row.started_at)}"
    if row.state in ("available", "parked"):
        return f"due {relative(row.run_at, now)}"
    return relative(row.run_at, now)


def detail(row: Job) -> str | Text:
    """Arguments; for a job that failed, its error."""
    if row.state in ("discarded", "retryable") and row.error is not None:
        return Text(one_line(f"{row.error.type}: {row.error.message}"), style="red")
    return call(plain.opened(row.args))


def job_page(history: History, children: Sequence[Child] = ()) -> RenderableType:
    """Everything that is known of one job."""
    row = history.job
    now = wall_clock()
    title = Text.assemble((safe(row.kind), "bold"), "  ", state(row.state))
    if row.state == "parked":
        by = row.parked_by or "an unknown limit"
        title.append(f" {_PARKED.get(by, f'by {safe(by)}')}", style="bright_blue")
    if row.cancel_requested and row.state == "running":
        title.append("  cancel requested", style="yellow")
    parts: list[RenderableType] = [title, Padding(fields(_facts(row, now)), (0, 0, 0, 2))]
    if row.progress is not None and row.state != "completed":
        parts += [Text("Progress", style="bold"), Padding(_progress(plain.opened(row.progress)), (0, 0, 0, 2))]
    if row.result is not None:
        parts += [Text("Result", style="bold"), _block(_pretty(plain.opened(row.result)))]
    if row.error is not None:
        parts += [Text("Error" if row.state != "completed" else "Error of an earlier attempt", style="bold")]
        parts.append(_error(row.error))
    if children:
        waits = sum(one.state is None for one in children)
        head = f"Children ({waits} of {len(children)} have not ended)" if waits else f"Children ({len(children)})"
        parts += [Text(head, style="bold"), Padding(_children(children), (0, 0, 0, 2))]
    if history.attempts:
        parts += [Text("Attempts", style="bold"), Padding(_attempts(history.attempts, now), (0, 0, 0, 2))]
    if history.logs:
        more = len(history.logs) - _LOG_TAIL
        head = (
            f"Log (the last {_LOG_TAIL} of {len(history.logs)} lines; all: tidewheel jobs logs)" if more > 0 else "Log"
        )
        parts.append(Text(head, style="bold"))
        parts += [Padding(log_line(line), (0, 0, 0, 2)) for line in history.logs[-_LOG_TAIL:]]
    return Group(*parts)


def _facts(row: Job, now: int) -> list[tuple[str, str | Text]]:
    due = row.state in ("scheduled", "retryable", "available", "parked")
    took = row.finished_at - row.started_at if row.finished_at and row.started_at else None
    return [
        ("id", row.id),
        ("queue", f"{row.queue}, priority {row.priority}{', lifo' if row.lifo else ''}"),
        ("arguments", call(plain.opened(row.args), limit=2000) or "none"),
        ("attempt", f"{row.attempt} of {row.max_attempts}" + (f", {row.crashes} crashed" if row.crashes else "")),
        ("enqueued", moment(row.enqueued_at, now)),
        ("due", moment(row.run_at, now) if due else ""),
        ("expires", moment(row.expires_at, now) if row.expires_at and due else ""),
        ("started", moment(row.started_at, now) if row.started_at else ""),
        (
            "finished",
            (moment(row.finished_at, now) if row.finished_at else "") + (f", took {human(took)}" if took else ""),
        ),
        ("lease", f"{moment(row.lease_until, now)}, epoch {row.epoch}" if row.lease_until else ""),
        ("worker", row.worker or ""),
        ("limits", ", ".join(f"{one.key}{f' (cost {one.cost})' if one.cost > 1 else ''}" for one in row.passes)),
        ("backlog", row.backlog or ""),
        ("unique key", row.unique_key or ""),
        ("tags", ", ".join(row.tags)),
        ("meta", row.meta or ""),
        ("options", row.options or ""),
    ]


def _children(children: Sequence[Child]) -> RenderableType:
    """How they stand; those that have not ended first."""
    made = Table.grid(padding=(0, 2, 0, 0))
    shown = sorted(children, key=lambda one: one.state is not None)[:_CHILDREN]
    for one in shown:
        what = one_line(f"{one.error.type}: {one.error.message}") if one.error else ""
        if one.completed:
            what = one_line(json.dumps(one.result, ensure_ascii=False))
        made.add_row(
            Text(one.id),
            state(one.state) if one.state is not None else Text("waited for", style="bright_blue"),
            Text("" if one.on_failure == "fail" else f"on failure: {one.on_failure}"),
            Text(what, overflow="fold"),
        )
    more = len(children) - len(shown)
    return Group(made, Text(f"and {more:,} more", style="bright_black")) if more else made


def _progress(value: Any) -> RenderableType:
    number = value.get("percent") if isinstance(value, dict) else value
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 100:
        percent = number * 100 if isinstance(number, float) and number <= 1 else number
        bar = Table.grid(padding=(0, 2, 0, 0))
        text = f"{percent:.0f} %" if not isinstance(value, dict) else one_line(json.dumps(value, ensure_ascii=False))
        bar.add_row(
            ProgressBar(total=100, completed=percent, width=30, complete_style="cyan", finished_style="green"),
            Text(text),
        )
        return bar
    return Text(safe(_pretty(value)))


def _pretty(value: Any) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    return flat if len(flat) <= 100 else json.dumps(value, ensure_ascii=False, indent=2)


def _block(text: str) -> RenderableType:
    return Padding(Text(safe(text)), (0, 0, 0, 2))


def _error(error: ErrorInfo) -> RenderableType:
    """The stack, oldest call first, and below it the error itself, as Python shows them."""
    head = f"{error.type}: {error.message}"
    stack = error.traceback.rstrip()
    last = stack.rpartition("\n")[2]
    if last.endswith(error.message.rpartition("\n")[2]):
        stack = stack.removesuffix(head).removesuffix(last).rstrip()
    parts = [Text(safe(stack), style="bright_black")] if stack else []
    return Padding(Group(*parts, Text(safe(head), style="red")), (0, 0, 0, 2))


def _attempts(attempts: tuple[AttemptRecord, ...], now: int) -> Table:
    made = Table.grid(padding=(0, 2, 0, 0))
    for record in attempts:
        why = one_line(f"{record.error.type}: {record.error.message}", 200) if record.error else ""
        made.add_row(
            Text(f"#{record.attempt}"),
            Text(record.outcome),
            Text(relative(record.ended_at, now)),
            Text(f"took {human(max(record.ended_at - record.started_at, 0))}"),
            Text(why, style="red", overflow="fold"),
        )
    return made


def log_line(line: LogLine) -> Text:
    """`09:00:01 info  message`, in local time."""
    clock = time.strftime("%H:%M:%S", time.localtime(line.at // 1_000_000))
    level = Text(f"{line.level.lower():<7}", style=_LEVEL_STYLE.get(line.level.lower(), "cyan"))
    return Text.assemble((clock, "bright_black"), " ", level, " ", safe(line.message))
