"""Workers are told to stop, as by a deployment, some of them twice."""

from __future__ import annotations

import asyncio
import random
import signal

from tests.chaos._scene import Scene
from tests.chaos.faults.base import Fault


class Stop(Fault):
    """SIGTERM; four times in ten a second one a tenth of a second later."""

    name = "stops"

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        at_once = dice.random() < 0.4
        worker = scene.somebody(dice)
        if worker is None:
            return False
        scene.note("told to stop", worker=worker.pid)
        worker.send(signal.SIGTERM)
        if at_once:
            asyncio.get_running_loop().call_later(0.1, worker.send, signal.SIGTERM)
        return True
