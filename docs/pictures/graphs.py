"""Draws graphs.svg: a graph of jobs, and what a failed child means for the job that waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from drawing import box, path, picture, save, text

from tidewheel._model.after import OnFailure

WIDE, HIGH = 1120, 640
NODES = {  # name: (centre x, centre y, colour, state)
    "fetch a": (150, 130, "green", "completed"),
    "fetch b": (150, 210, "amber", "running"),
    "fetch c": (150, 290, "green", "completed"),
    "total": (420, 210, "sweep", "parked"),
    "publish": (690, 210, "sweep", "parked"),
    "mail": (960, 130, "sweep", "parked"),
    "archive": (960, 290, "sweep", "parked"),
}
EDGES = (
    ("fetch a", "total"), ("fetch b", "total"), ("fetch c", "total"), ("total", "publish"), ("publish", "mail"),
    ("publish", "archive"),
)  # fmt: skip
NODE_WIDE, NODE_HIGH = 148, 54
FAILURES: dict[OnFailure, tuple[str, str, str, str]] = {  # colour, state of the parent, what it means
    "fail": ("red", "discarded", "it is given up, too,", "and what waits for it"),
    "continue": ("blue", "available", "it starts at once,", "and waits for nobody"),
    "ignore": ("sweep", "parked", "it waits for the rest,", "and finds the error"),
    "remove": ("sweep", "parked", "it waits for the rest,", "and finds no trace"),
}


def node(x: float, y: float, colour: str, name: str, state: str, *, wide: float = NODE_WIDE) -> str:
    left, top = x - wide / 2, y - NODE_HIGH / 2
    return (
        f"{box(left, top, wide, NODE_HIGH, css='paper', radius=12)}"
        f'<rect class="f-{colour} s-{colour}" fill-opacity="0.13" stroke-width="2" x="{left:g}" y="{top:g}" '
        f'width="{wide:g}" height="{NODE_HIGH}" rx="12"/>'
        f"{text(x, y - 3, name, size=15, anchor='middle', weight=650, css='code')}"
        f"{text(x, y + 16, state, size=13, anchor='middle', css=f'f-{colour}')}"
    )


def edges() -> Iterator[str]:
    """From a job to the one that waits for it; a full line where it has ended."""
    for child, parent in EDGES:
        (x1, y1, _, state), (x2, y2, _, _) = NODES[child], NODES[parent]
        left, right = x1 + NODE_WIDE / 2 + 2, x2 - NODE_WIDE / 2 - 6
        middle = (left + right) / 2
        ended = state == "completed"
        yield path(
            f"M{left:g} {y1:g} C {middle:g} {y1:g} {middle:g} {y2:g} {right:g} {y2:g}",
            colour="worker" if ended else "sweep",
            dash="" if ended else "6 5",
            head=True,
        )


def failures(top: float) -> Iterator[str]:
    """One panel for each word."""
    wide = 250
    for number, word in enumerate(get_args(OnFailure)):
        colour, state, first, second = FAILURES[word]
        left = 40 + number * (wide + 13.4)
        yield box(left, top, wide, 216, radius=12)
        yield text(left + wide / 2, top + 30, f'"{word}"', size=16, anchor="middle", weight=650, css="code")
        yield node(left + 64, top + 76, "red", "child", "discarded", wide=98)
        yield node(left + 64, top + 140, "amber", "child", "running", wide=98)
        yield node(left + wide - 62, top + 108, colour, "parent", state, wide=98)
        ends = f"{left + wide - 116:g} {top + 108:g}"
        if word != "remove":
            yield path(
                f"M{left + 115:g} {top + 76:g} L {ends}", colour="person" if word == "fail" else "worker", head=True
            )
        waits = word in ("ignore", "remove")
        if waits:
            yield path(f"M{left + 115:g} {top + 140:g} L {ends}", colour="sweep", dash="6 5", head=True)
        yield text(left + wide / 2, top + 186, first, size=13.5, anchor="middle", css="soft")
        yield text(left + wide / 2, top + 204, second, size=13.5, anchor="middle", css="soft")


def draw() -> str:
    """The picture as SVG text."""
    return picture(
        WIDE,
        HIGH,
        "A graph of jobs",
        "Above: three fetches, one of them still running, then total, then publish, then mail and archive side by side. All "
        "behind the running one are parked. Below: what it means for a parent that one child was discarded while another "
        "runs. fail: the parent is discarded. continue: it is available at once. ignore and remove: it waits for the other.",
        [
            text(
                40,
                46,
                "chain(group(fetches, then=total), publish, group([mail, archive]))",
                size=15.5,
                weight=650,
                css="code",
            ),
            box(40, 70, 1040, 280),
            *edges(),
            *(node(x, y, colour, name, state) for name, (x, y, colour, state) in NODES.items()),
            text(420, 318, "waits for 1 of its 3 children", size=13.5, anchor="middle", css="soft"),
            path("M420 302 L 420 246", colour="soft", width=1.2, dash="2 4"),
            text(40, 388, "on_failure=", size=15.5, weight=650, css="code"),
            text(152, 388, "what it means for a parent that a child was cancelled or given up", size=14, css="soft"),
            *failures(404),
        ],
    )


if __name__ == "__main__":
    save(draw(), "graphs.svg")
