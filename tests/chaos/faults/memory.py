"""The memory of Redis is full."""

from __future__ import annotations

import asyncio
import random

from tests.chaos._scene import Scene
from tests.chaos._words import say
from tests.chaos.faults.base import Fault
from tests.servers.redis import Redis


class Memory(Fault):
    """For half a second to two seconds `maxmemory` is less than what is used: nothing new goes in, jobs end as ever."""

    name = "times the memory was full"

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        length = dice.uniform(0.5, 2)
        assert isinstance(scene.server, Redis)
        if await say(scene.server, "CONFIG", "SET", "maxmemory", "1mb") is None:
            return False
        scene.note("full")
        await asyncio.sleep(length)
        await self.mend(scene)
        scene.note("room")
        return True

    async def mend(self, scene: Scene) -> None:
        assert isinstance(scene.server, Redis)
        await say(scene.server, "CONFIG", "SET", "maxmemory", "0")
