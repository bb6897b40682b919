"""Workers are killed at any moment."""

from __future__ import annotations

import asyncio
import random

from tests.chaos._scene import Scene
from tests.chaos.faults.base import Fault


class Kill(Fault):
    """SIGKILL: the worker gets no word out."""

    name = "kills"

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        worker = scene.somebody(dice)
        if worker is None:
            return False
        await asyncio.to_thread(worker.kill)
        return True
