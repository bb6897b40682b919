"""Draws backoff.svg: the delays of each backoff, and what jitter makes of them, by the real code."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from drawing import box, path, picture, save, text

from tidewheel import Backoff, exponential, fixed, linear

SECOND = 1_000_000
TRIES = 30
"""Dots for each attempt in the pictures of jitter."""


class Chart:
    """A frame with attempts from left to right and seconds upwards."""

    def __init__(self, x: float, y: float, width: float, height: float, *, attempts: int, seconds: float) -> None:
        self.left, self.top, self.width, self.height = x, y, width, height
        self.attempts, self.seconds = attempts, seconds

    def x(self, attempt: float) -> float:
        return self.left + self.width * (attempt - 0.5) / self.attempts

    def y(self, seconds: float) -> float:
        return self.top + self.height * (1 - seconds / self.seconds)

    def grid(self, *marks: tuple[float, str]) -> Iterator[str]:
        right = self.left + self.width
        for seconds, words in marks:
            y = self.y(seconds)
            yield f'<path class="grid" d="M{self.left:g} {y:g} H {right:g}"/>'
            yield text(self.left - 10, y + 4.5, words, size=13, anchor="end", css="soft")
        for attempt in range(1, self.attempts + 1):
            yield text(self.x(attempt), self.top + self.height + 20, str(attempt), size=13, anchor="middle", css="soft")

    def curve(self, backoff: Backoff, colour: str, *, dash: str = "", width: float = 2.5) -> Iterator[str]:
        points = [(self.x(n), self.y(wait(backoff, n))) for n in range(1, self.attempts + 1)]
        yield path("M" + " L ".join(f"{x:.1f} {y:.1f}" for x, y in points), colour=colour, dash=dash, width=width)
        if not dash:
            yield from (f'<circle class="f-{colour}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>' for x, y in points)

    def dots(self, backoff: Backoff, colour: str, dice: Random) -> Iterator[str]:
        for attempt in range(1, self.attempts + 1):
            spots = []
            for _ in range(TRIES):
                x = self.x(attempt) + dice.uniform(-0.28, 0.28) * self.width / self.attempts
                spots.append(f"M{x:.1f} {self.y(wait(backoff, attempt, dice)):.1f}h0")  # a round end and no length
            yield path("".join(spots), colour=colour, width=3.6)


def wait(backoff: Backoff, attempt: int, dice: Random | None = None) -> float:
    delay = backoff.delay(attempt, random=dice)
    assert delay is not None
    return delay / SECOND


CURVES = [  # backoff, as written, colour, (attempt, seconds) of its name, anchor
    (exponential("1s", cap="5m"), 'exponential("1s", cap="5m")', "blue", (7.62, 128.0), "end"),
    (linear("30s", cap="4m"), 'linear("30s", cap="4m")', "orange", (7.75, 250.0), "end"),
    (fixed("45s"), 'fixed("45s")', "green", (10.5, 20.0), "end"),
]
JITTERS = [
    ("jitter=0.1", exponential("1s", cap="1m", jitter=0.1), "violet", "up to a tenth off"),
    ('jitter="equal"', exponential("1s", cap="1m", jitter="equal"), "violet", "up to half off"),
    ('jitter="full"', exponential("1s", cap="1m", jitter="full"), "violet", "anything below"),
    ('jitter="10s"', exponential("1s", cap="1m", jitter="10s"), "violet", "up to ten seconds on top"),
]


def draw() -> str:
    """The picture as SVG text; the dice always fall the same way."""
    dice = Random(4)
    parts = [text(36, 48, "Delay before the next attempt", size=18, weight=650)]
    chart = Chart(84, 76, 1040, 300, attempts=10, seconds=320)
    parts += chart.grid((0, "0"), (60, "1 min"), (120, "2 min"), (180, "3 min"), (240, "4 min"), (300, "5 min"))
    for backoff, _, colour, _, _ in CURVES:
        parts += chart.curve(backoff, colour)
    for _, words, colour, (attempt, seconds), anchor in CURVES:
        x, y = chart.x(attempt), chart.y(seconds)
        parts.append(text(x, y, words, size=15, anchor=anchor, weight=600, css=f"code halo f-{colour}"))
    parts.append(text(604, 422, "attempt that failed", size=13, anchor="middle", css="soft"))

    parts.append(text(36, 474, "What jitter does", size=18, weight=650))
    parts.append(
        text(240, 474, f'to exponential("1s", cap="1m"), {TRIES} jobs each; dashed: without', size=14, css="soft")
    )
    for index, (words, backoff, colour, meaning) in enumerate(JITTERS):
        left = 36 + index * 278
        parts.append(box(left, 492, 266, 254))
        small = Chart(left + 46, 566, 208, 138, attempts=8, seconds=72)
        parts.append(text(left + 16, 520, words, size=14.5, weight=600, css=f"code f-{colour}"))
        parts.append(text(left + 16, 540, meaning, size=13, css="soft"))
        parts += small.grid((0, "0"), (30, "30 s"), (60, "60 s"))
        parts += small.curve(exponential("1s", cap="1m"), "soft", dash="3 4", width=1.5)
        parts += small.dots(backoff, colour, dice)
    return picture(
        1160,
        776,
        "Backoffs and jitter",
        "Delays by attempt: fixed stays level, linear grows evenly, exponential doubles up to its cap. "
        "Below, four kinds of jitter spread the delays of many jobs.",
        parts,
    )


if __name__ == "__main__":
    save(draw(), "backoff.svg")
