"""Workers' clocks are wrong: they go wrong, jump, and step back."""

from __future__ import annotations

import random
from typing import Final

from tests.chaos.faults.base import Fault

from tidewheel import Env
from tidewheel._env import Uuid7, wall_clock

CLOCK: Final = "TIDEWHEEL_CHAOS_CLOCK"
"""The environment variable with the seed and the error of a worker's clock: `<seed> <seconds>`."""
_HOLDS: Final = 2_000_000


class WrongClock:
    """Every two seconds it is wrong by something else, up to `most` seconds either way."""

    def __init__(self, seed: int, most: float) -> None:
        self._seed = seed
        self._most = most

    def __call__(self) -> int:
        now = wall_clock()
        wrong = random.Random(self._seed + now // _HOLDS).uniform(-self._most, self._most)
        return now + int(wrong * 1_000_000)

    @classmethod
    def env(cls, text: str) -> Env:
        """The environment of an app whose clock is wrong as the variable says."""
        seed, most = text.split()
        clock = cls(int(seed), float(most))
        return Env(clock=clock, ids=Uuid7(clock))


class Clock(Fault):
    """Each worker's clock is wrong by up to `most` seconds, by another amount every two seconds."""

    name = "clocks"

    def __init__(self, most: float) -> None:
        super().__init__()
        self._most = most

    def environment(self, dice: random.Random) -> dict[str, str]:
        return {CLOCK: f"{dice.randrange(1 << 30)} {self._most}"}
