"""The server of the store goes down and comes back."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import Final

from tests.chaos._scene import Scene
from tests.chaos.faults.base import Fault

HOW: Final = {"PostgreSQL": (signal.SIGQUIT, signal.SIGKILL)}
"""How a server is ended: without a goodbye. (SIGQUIT is PostgreSQL's "immediate".)"""


class Restart(Fault):
    """Every 5 to 40 seconds, down for 0 to 2 seconds: the schedule of DBOS's chaos tests. `pace` 10: ten times as often."""

    name = "restarts"

    def __init__(self, pace: float = 1.0) -> None:
        super().__init__()
        self._pace = pace

    def pause(self, dice: random.Random) -> float:
        return dice.uniform(5, 40) / self._pace

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        server = scene.server
        assert server is not None
        how = dice.choice(HOW.get(server.kind, (signal.SIGKILL,)))
        down = dice.uniform(0, 2)
        port = server.port
        scene.note("down")
        await asyncio.to_thread(server.stop, how)
        await asyncio.sleep(down)
        await asyncio.to_thread(server.start)
        scene.note("up")
        assert server.port == port, "the server came back at another port, where nobody looks for it"
        return True
