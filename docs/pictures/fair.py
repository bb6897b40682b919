"""Draws fair.svg: the same jobs of three tenants in the order in which they start, with and without turns.

The places are worked out by the function that the stores use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drawing import box, picture, save, text

from tidewheel._model.desk import KeyRow, turn
from tidewheel._model.enqueue_rule import Fair
from tidewheel._model.job import NewJob
from tidewheel._places import UNIT

WIDE, HIGH = 1120, 446
LEFT, TOP, LANE, WIDTH = 40, 116, 108, 60
CALLS = "aaaaaaaaaabbbccaa"
COLOURS = {"a": "blue", "b": "orange", "c": "violet"}
LANES: tuple[tuple[str, Mapping[str, float] | None], ...] = (
    ("as they come", None),
    ('fair=Fair("args.tenant")', {}),
    ('fair=Fair("args.tenant", weights={"b": 3})', {"b": 3}),
)


def order(weights: Mapping[str, float] | None) -> list[tuple[str, int]]:
    """Tenant and number of each job, in the order in which they start; nothing starts before all have come."""
    rows: dict[str, KeyRow] = {}
    places: list[tuple[int, int, str]] = []
    for number, tenant in enumerate(CALLS):
        place = number
        if weights is not None:
            fair = Fair(tenant, round(UNIT / weights.get(tenant, 1)))
            head = min((known for known, _, _ in places), default=None)
            place, rows[tenant] = turn(NewJob(id="", kind="", args=""), fair, rows.get(tenant), head, 0)
        places.append((place, number, tenant))
    return [(tenant, number) for _, number, tenant in sorted(places)]


def lane(number: int, code: str, weights: Mapping[str, float] | None) -> Iterator[str]:
    top = TOP + number * LANE
    yield text(LEFT, top - 10, code, size=15, weight=600, css="code" if weights is not None else "")
    for place, (tenant, came) in enumerate(order(weights)):
        left = LEFT + place * (WIDTH + 1.5)
        yield box(left, top, WIDTH, 44, css=f"f-{COLOURS[tenant]}", radius=6)
        yield text(
            left + WIDTH / 2, top + 28, f"{tenant} {came + 1}", size=15, anchor="middle", weight=600, css="f-paper"
        )


def draw() -> str:
    """The picture as SVG text."""
    return picture(
        WIDE,
        HIGH,
        "Tenants that take turns",
        "Seventeen jobs: ten of tenant a, three of b, two of c, and two more of a. As they come, b and c wait behind the ten. With "
        "turns the three tenants alternate, and what is left of a follows. With a weight of three for b, its three jobs start "
        "while a and c have one turn each.",
        [
            text(LEFT, 48, "The same seventeen jobs of three tenants, first to start on the left", size=17, weight=650),
            text(LEFT, 70, "The number says as which it was enqueued.", size=13.5, css="soft"),
            *(part for number, (code, weights) in enumerate(LANES) for part in lane(number, code, weights)),
            text(
                LEFT,
                HIGH - 26,
                "A tenant that comes late has its first turn at once, and is owed nothing for the time before.",
                size=13.5,
                css="soft",
            ),
        ],
    )


if __name__ == "__main__":
    save(draw(), "fair.svg")
