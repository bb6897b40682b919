"""What a fault is: something done to a scene now and then, or to every worker at its start."""

from __future__ import annotations

import random

from tests.chaos._scene import Scene


class Fault:
    """One sort of fault. `name` is how the card counts it."""

    name: str
    first: float = 2.0
    """Seconds before the first strike: workers need a moment to start."""

    def __init__(self, every: float | None = None) -> None:
        self.every = every
        """Seconds between two strikes, on average; None for a fault that does not strike."""

    def pause(self, dice: random.Random) -> float:
        """Seconds until the next strike."""
        return dice.expovariate(1 / self.every) if self.every else float("inf")

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        """Do it once; False when there was nobody to do it to."""
        raise NotImplementedError

    def environment(self, dice: random.Random) -> dict[str, str]:
        """What a worker that starts now finds in its environment."""
        return {}

    async def mend(self, scene: Scene) -> None:
        """The campaign is over: undo what is still in effect."""
