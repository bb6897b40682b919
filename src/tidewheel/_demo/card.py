"""The summary as a person reads it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tidewheel._demo import rows

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tidewheel._demo.summary import Dead, Facts

_SHOWN_STACKS = 2
_SHOWN_FILES = 8
_SHOWN_WRONG = 8
_STACK_LINES = 14


def print_card(facts: Facts, stream: TextIO) -> None:
    """Print it: with colours and a frame on a terminal, as plain text elsewhere."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=False)
    # A picture that cannot be opened is told in a line; an error in code needs its stack.
    files = [letter for letter in facts.dead_letters if letter.error.endswith("BadPicture")]
    stacks = [letter for letter in facts.dead_letters if letter not in files]
    for letter in stacks[:_SHOWN_STACKS]:
        console.print(Panel(
            Text(rows.printable_lines(_stack(letter)), "dim"), title=Text(f"dead letter: {letter.subject}", "bold red"),
            title_align="left", border_style="red", padding=(0, 1),
        ))  # fmt: skip
    for letter in files[:_SHOWN_FILES]:
        console.print(Text("✗ dead letter: ", "red").append(rows.printable(letter.message), "default"), soft_wrap=True)
    hidden = len(facts.dead_letters) - len(stacks[:_SHOWN_STACKS]) - len(files[:_SHOWN_FILES])
    if hidden:
        console.print(
            Text(f"✗ ... and {rows.count(hidden, 'more dead letter')} in {facts.files['dead_letters']}", "red")
        )
    good = not facts.wrong
    console.print(Panel(
        _body(facts), title=Text("done: no job lost, no finished job run again" if good else "something is wrong", "bold"),
        title_align="left", border_style="green" if good else "red", padding=(1, 2),
    ))  # fmt: skip
    # Outside the frame, in lines of their own that are never wrapped: made to be copied.
    console.print(Text.assemble(("Output   ", "bold"), (facts.files["output"], "cyan")), soft_wrap=True)
    for number, line in enumerate(look_further(facts)):
        console.print(Text.assemble(("         " if number else "Look on  ", "bold"), (line, "cyan")), soft_wrap=True)


def look_further(facts: Facts) -> list[str]:
    """Commands that show more of this run."""
    command = "tidewheel"
    here = Path(sys.executable).with_name("tidewheel")
    if here.exists():
        command = shlex.quote(str(here))
    store = shlex.quote(facts.store)
    lines = [f"{command} jobs list --store {store}"]
    if facts.dead_letters:
        lines.append(f"{command} deadletters list --store {store}")
        lines.append(f"{command} jobs show {facts.dead_letters[0].id} --store {store}")
    return lines


def _body(facts: Facts) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(style="dim")
    for number, name, remark in _figures(facts):
        table.add_row(number, name, Text(remark))
    parts: list[RenderableType] = [table]
    parts.extend(Text(f"! {rows.printable(warning)}", "yellow") for warning in facts.warnings[:_SHOWN_WRONG])
    parts.extend(Text(f"✗ {rows.printable(wrong)}", "bold red") for wrong in facts.wrong[:_SHOWN_WRONG])
    if len(facts.wrong) > _SHOWN_WRONG:
        parts.append(Text(f"✗ ... and {len(facts.wrong) - _SHOWN_WRONG} more", "bold red"))
    return Group(*parts)


def _figures(facts: Facts) -> list[tuple[str, str, str]]:
    """Number, what it counts, and what there is to say about it."""
    known = f"{facts.known} of them known from an earlier run" if facts.known else ""
    dead = ", ".join(one.subject for one in facts.dead_letters[:3]) + (", ..." if len(facts.dead_letters) > 3 else "")
    lines = [
        (str(facts.jobs), "jobs", known),
        (str(facts.completed), "completed", f"{facts.pictures} pictures, {facts.mails} mails, reports and odd jobs"),
        (str(facts.retried), "retried", "failed, and were tried again"),
        (str(len(facts.dead_letters)), "dead letters", f"given up, and kept with the reason: {dead}" if dead else ""),
    ]
    if facts.killed_after is not None:
        lines.append((
            str(facts.rescued), "rescued",
            f"of {facts.running_at_kill} running when the worker was killed (kill -9 after {facts.killed_after:.1f} s)"
            if facts.rescued == facts.running_at_kill else "their worker died under them, another one ran them",
        ))  # fmt: skip
        lines.append(
            (
                str(facts.redone),
                "done again",
                f"of {facts.completed_at_kill} that were recorded as completed before the kill",
            )
        )
    elif facts.rescued:
        lines.append((str(facts.rescued), "rescued", "their worker died under them, another one ran them"))
    again = (
        f"over SMTP, one .eml each; {facts.sent_again} sent again by a rescued job, known by Message-ID and not kept twice"
        if facts.sent_again
        else "over SMTP, one .eml each, none sent twice"
    )
    lines.append((str(facts.mails), "mails", again))
    lines.append((str(facts.thumbnails), "thumbnails", f"webp, avif and jpg, {facts.thumbnail_bytes / 1e6:.1f} MB"))
    lines.append(("2", "reports", "jobs.csv and jobs.xlsx (with a chart)"))
    if facts.delayed:
        late = "" if facts.late_ms is None else f", started {max(0.0, facts.late_ms):.0f} ms later"
        lines.append((str(facts.delayed), "delayed", f"came due{late}"))
    lines.append((f"{facts.seconds:.1f} s", "in all", ""))
    return lines


def _stack(letter: Dead) -> str:
    """The end of the stack, where the reason is."""
    lines = letter.traceback.rstrip().splitlines() or [f"{letter.error}: {letter.message}"]
    # The frames before the task's own are the worker's.
    first = next((i for i, line in enumerate(lines) if "_demo" in line), 0)
    cut = lines[max(first, len(lines) - _STACK_LINES) :]
    return "\n".join((["  ..."] if len(lines) > len(cut) else []) + cut)
