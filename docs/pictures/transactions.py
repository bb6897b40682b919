"""Draws transactions.svg: a job that shares the fate of the caller's transaction, and one that goes through an outbox."""

from __future__ import annotations

from collections.abc import Iterator

from drawing import box, path, picture, save, text

WIDE, HIGH = 1120, 568


def table(x: float, y: float, width: float, title: str, rows: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """A table with its name and its rows: (words, colour)."""
    yield box(x, y, width, 40 + 34 * len(rows), css="paper")
    yield box(x, y, width, 40 + 34 * len(rows), css="panel")
    yield text(x + 14, y + 26, title, size=14, weight=650, css="soft")
    for number, (words, colour) in enumerate(rows):
        top = y + 38 + 34 * number
        yield (
            f'<rect class="f-{colour} s-{colour}" fill-opacity="0.13" stroke-width="1.5" x="{x + 10:g}" y="{top:g}" '
            f'width="{width - 20:g}" height="26" rx="7"/>'
        )
        yield text(x + 22, top + 18, words, size=14, css="code")


def step(x: float, y: float, words: str, colour: str) -> str:
    return text(x, y, words, size=14.5, css=f"code f-{colour}", weight=600)


def transaction(x: float, y: float, end: str, colour: str, after: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """What the caller does, how it ends, and what the database has then."""
    yield (
        f'<rect class="f-{colour} s-{colour}" fill-opacity="0.07" stroke-width="2" x="{x:g}" y="{y:g}" width="236" '
        'height="146" rx="14"/>'
    )
    yield step(x + 18, y + 32, "BEGIN", "soft")
    yield step(x + 18, y + 62, "INSERT INTO orders", "blue")
    yield step(x + 18, y + 92, "enqueue(connection=…)", "violet")
    yield step(x + 18, y + 124, end, colour)
    yield path(f"M{x + 240} {y + 119} L {x + 286} {y + 119}", colour="worker", head=True)
    for number, (words, row) in enumerate(after):
        top = y + 46 + 40 * number
        yield (
            f'<rect class="f-{row} s-{row}" fill-opacity="0.13" stroke-width="1.5" x="{x + 312:g}" y="{top:g}" '
            'width="150" height="30" rx="8"/>'
        )
        yield text(x + 387, top + 20, words, size=14, anchor="middle", css="code")
    if not after:
        yield text(x + 387, y + 92, "nothing: no order, no job", size=13.5, anchor="middle", css="soft")
    yield f'<rect class="s-edge" fill="none" stroke-width="2" x="{x + 292:g}" y="{y:g}" width="190" height="146" rx="14"/>'
    yield text(x + 387, y + 28, "the database after it", size=13, anchor="middle", css="soft")


def draw() -> str:
    """The picture as SVG text."""
    return picture(
        WIDE,
        HIGH,
        "Jobs in your own transactions",
        "Above: the commit of a transaction makes both the order and its job, the rollback makes neither. Below: with the "
        "jobs in another store the job is written to an outbox beside the order; a relay enqueues it there, then removes the "
        "row; killed in between it does so again, and the store knows the id.",
        [
            text(40, 48, "The jobs live in the same database", size=19, weight=650),
            *transaction(40, 72, "COMMIT", "green", (("order 7", "blue"), ("job: confirm 7", "violet"))),
            *transaction(598, 72, "ROLLBACK", "red", ()),
            f'<path class="grid" d="M40 256 H {WIDE - 40}"/>',
            text(40, 300, "The jobs live elsewhere: an outbox", size=19, weight=650),
            box(40, 322, 300, 214),
            text(190, 520, "your database, one transaction", size=13.5, anchor="middle", css="soft"),
            *table(60, 338, 260, "orders", (("order 7", "blue"),)),
            *table(60, 424, 260, "tidewheel_outbox", (("job: confirm 7", "violet"),)),
            box(806, 322, 274, 214),
            text(943, 520, "the app's store: Redis, …", size=13.5, anchor="middle", css="soft"),
            *table(826, 380, 234, "jobs", (("job: confirm 7", "violet"),)),
            '<circle class="f-sweep s-sweep" fill-opacity="0.13" stroke-width="2" cx="573" cy="430" r="46"/>',
            text(573, 436, "relay", size=17, anchor="middle", weight=650, css="f-sweep"),
            path("M324 462 C 400 462 450 446 520 436", colour="sweep", head=True),
            text(430, 434, "1  take", size=14.5, anchor="middle", css="f-sweep"),
            path("M622 430 L 820 430", colour="sweep", head=True),
            text(716, 418, "2  enqueue", size=14.5, anchor="middle", css="f-sweep"),
            path("M548 474 C 500 520 420 506 326 484", colour="sweep", head=True, dash="7 5"),
            text(440, 530, "3  delete the row", size=14.5, anchor="middle", css="f-sweep"),
            text(716, 478, "killed between 2 and 3?", size=13.5, anchor="middle", css="f-red"),
            text(716, 498, "it does both again: the id", size=13.5, anchor="middle", css="soft"),
            text(716, 516, "is known, so it is one job", size=13.5, anchor="middle", css="soft"),
        ],
    )


if __name__ == "__main__":
    save(draw(), "transactions.svg")
