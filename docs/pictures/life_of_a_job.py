"""Draws life-of-a-job.svg: every state and every move of the table in `tidewheel._model.state`."""

from __future__ import annotations

from typing import NamedTuple

from drawing import box, path, picture, save, text

from tidewheel._model.state import JobState as S
from tidewheel._model.state import Move

WIDE, HIGH = 178, 66
NODES = {  # state: (centre x, centre y, colour, what it means)
    S.SCHEDULED: (146, 150, "violet", "waits for its time"),
    S.AVAILABLE: (432, 300, "blue", "may be claimed"),
    S.PARKED: (432, 412, "sweep", "for a limit, or others"),
    S.RETRYABLE: (146, 450, "orange", "failed, will run again"),
    S.RUNNING: (754, 300, "amber", "held under a lease"),
    S.COMPLETED: (1100, 150, "green", "its result is kept"),
    S.DISCARDED: (1100, 300, "red", "given up: a dead letter"),
    S.CANCELLED: (1100, 450, "grey", "somebody said stop"),
}
DASH = {"worker": "", "sweep": "7 5", "person": "1.5 5.5"}
LEGEND = {
    "worker": "a worker",
    "sweep": "the sweep: a time has come, or a lease is over",
    "person": "a person or your code",
}


class Arrow(NamedTuple):
    """One line of the picture, and the moves it stands for."""

    d: str
    who: str
    at: tuple[float, float]
    labels: tuple[tuple[str, str], ...]
    """(who, words) pairs, written one after the other."""
    moves: tuple[tuple[S, Move, S], ...]
    anchor: str = "middle"


WAITING = (S.SCHEDULED, S.AVAILABLE, S.PARKED, S.RETRYABLE)
ARROWS = [
    Arrow(
        "M160 184 C 172 246 240 288 336 289", "sweep", (206, 240), (("sweep", "promote"), ("person", "run now")),
        (
            (S.SCHEDULED, Move.PROMOTE, S.AVAILABLE), (S.SCHEDULED, Move.ALTER_RUN_NOW, S.AVAILABLE),
            (S.SCHEDULED, Move.REPLACE, S.AVAILABLE),
        ), "start",
    ),
    Arrow(
        "M160 416 C 172 354 240 312 336 311", "sweep", (208, 375), (("sweep", "promote"), ("person", "run now")),
        (
            (S.RETRYABLE, Move.PROMOTE, S.AVAILABLE), (S.RETRYABLE, Move.ALTER_RUN_NOW, S.AVAILABLE),
            (S.RETRYABLE, Move.REPLACE, S.AVAILABLE),
        ), "start",
    ),
    Arrow("M410 334 L 410 372", "worker", (400, 360), (("worker", "park"),), ((S.AVAILABLE, Move.PARK, S.PARKED),), "end"),
    Arrow(
        "M454 378 L 454 340", "worker", (464, 360), (("worker", "open"),),
        (
            (S.PARKED, Move.OPEN, S.AVAILABLE), (S.PARKED, Move.CHILD_ENDED, S.AVAILABLE),
            (S.PARKED, Move.REPLACE, S.AVAILABLE),
        ), "start",
    ),
    Arrow(
        "M343 400 C 200 404 114 360 114 190", "worker", (130, 284), (("worker", "its time is later"),),
        ((S.PARKED, Move.CHILD_ENDED, S.SCHEDULED),), "start",
    ),
    Arrow(
        "M521 418 C 640 424 860 404 1006 322", "worker", (550, 411), (("worker", "a child failed"),),
        ((S.PARKED, Move.CHILD_ENDED, S.DISCARDED),), "start",
    ),
    Arrow(
        "M474 445 C 488 476 426 476 432 452", "worker", (424, 463), (("worker", "a child ended"),),
        ((S.PARKED, Move.CHILD_ENDED, S.PARKED),), "end",
    ),
    Arrow(
        "M36 206 C -6 202 -6 258 30 254", "person", (44, 235), (("person", "replace"),),
        tuple((state, Move.REPLACE, state) for state in WAITING), "start",
    ),
    Arrow("M521 288 L 658 288", "worker", (593, 276), (("worker", "claim"),), ((S.AVAILABLE, Move.CLAIM, S.RUNNING),)),
    Arrow(
        "M665 312 L 528 312", "worker", (593, 335), (("worker", "release"), ("sweep", "rescue")),
        ((S.RUNNING, Move.RELEASE, S.AVAILABLE), (S.RUNNING, Move.RESCUE, S.AVAILABLE)),
    ),
    Arrow(
        "M714 267 C 680 132 520 106 242 134", "worker", (646, 152), (("worker", "snooze"),),
        ((S.RUNNING, Move.SNOOZE, S.SCHEDULED),), "start",
    ),
    Arrow(
        "M714 333 C 680 468 520 494 242 466", "worker", (646, 459), (("worker", "retry later"),),
        ((S.RUNNING, Move.RETRY_LATER, S.RETRYABLE),), "start",
    ),
    Arrow(
        "M818 267 C 848 196 914 152 1004 150", "worker", (886, 176), (("worker", "complete"),),
        ((S.RUNNING, Move.COMPLETE, S.COMPLETED),), "end",
    ),
    Arrow(
        "M843 300 L 1004 300", "worker", (922, 288), (("worker", "discard"), ("sweep", "rescue")),
        ((S.RUNNING, Move.DISCARD, S.DISCARDED), (S.RUNNING, Move.RESCUE, S.DISCARDED)),
    ),
    Arrow(
        "M818 333 C 848 404 914 448 1004 450", "worker", (890, 440), (("worker", "cancel"), ("sweep", "rescue")),
        ((S.RUNNING, Move.CANCEL_OUTCOME, S.CANCELLED), (S.RUNNING, Move.RESCUE, S.CANCELLED)), "end",
    ),
    Arrow(
        "M742 266 C 726 210 788 210 774 259", "person", (758, 214), (("person", "ask to cancel"),),
        ((S.RUNNING, Move.ALTER_CANCEL, S.RUNNING),),
    ),
    Arrow(
        "M289 512 L 289 532 Q 289 556 313 556 L 1076 556 Q 1100 556 1100 532 L 1100 490", "person", (660, 548),
        (("person", "cancel"), ("sweep", "expire")),
        tuple((state, move, S.CANCELLED) for move in (Move.ALTER_CANCEL, Move.EXPIRE) for state in WAITING),
    ),
    Arrow(
        "M1100 78 L 1100 60 Q 1100 36 1076 36 L 470 36 Q 446 36 446 60 L 446 260", "person", (760, 28),
        (("person", "retry"), ("person", "parked while its children run again")),
        tuple(
            (state, Move.ALTER_RETRY, then)
            for then in (S.AVAILABLE, S.PARKED) for state in (S.COMPLETED, S.DISCARDED, S.CANCELLED)
        ),
    ),
]  # fmt: skip


def node(state: S) -> str:
    x, y, colour, meaning = NODES[state]
    left, top = x - WIDE / 2, y - HIGH / 2
    return (
        f"{box(left, top, WIDE, HIGH, css='paper')}"
        f'<rect class="f-{colour} s-{colour}" fill-opacity="0.13" stroke-width="2" x="{left:g}" y="{top:g}" '
        f'width="{WIDE}" height="{HIGH}" rx="14"/>'
        f"{text(x, y - 3, state.value, size=19, anchor='middle', weight=650, css=f'f-{colour}')}"
        f"{text(x, y + 18, meaning, size=13.5, anchor='middle', css='soft')}"
    )


def label(arrow: Arrow) -> str:
    dot = '<tspan class="soft" dx="4">·</tspan>'
    words = dot.join(
        f'<tspan class="f-{who}" dx="{4 if index else 0}">{said}</tspan>'
        for index, (who, said) in enumerate(arrow.labels)
    )
    x, y = arrow.at
    return f'<text x="{x:g}" y="{y:g}" font-size="14.5" font-weight="550" text-anchor="{arrow.anchor}">{words}</text>'


def legend() -> list[str]:
    parts = []
    for x, (who, words) in zip((296, 446, 850), LEGEND.items(), strict=True):
        parts += [path(f"M{x} 604 L {x + 38} 604", colour=who, dash=DASH[who], head=True)]
        parts += [text(x + 50, 609, words, size=14.5, css="soft")]
    return parts


def draw() -> str:
    """The picture as SVG text."""
    shown = [move for arrow in ARROWS for move in arrow.moves]
    return picture(
        1236,
        636,
        "The life of a job",
        "States and moves: " + "; ".join(f"{start} to {end} by {move.value}" for start, move, end in shown),
        [
            box(36, 78, 506, 434),
            text(57, 103, "WAITING", size=12, weight=650, css="soft"),
            box(990, 78, 220, 434),
            text(1011, 103, "ENDED", size=12, weight=650, css="soft"),
            *(path(arrow.d, colour=arrow.who, dash=DASH[arrow.who], head=True) for arrow in ARROWS),
            *map(node, NODES),
            *map(label, ARROWS),
            *legend(),
        ],
    )


if __name__ == "__main__":
    save(draw(), "life-of-a-job.svg")
