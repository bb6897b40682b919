"""Redis forgets its scripts."""

from __future__ import annotations

import random

from tests.chaos._scene import Scene
from tests.chaos._words import say
from tests.chaos.faults.base import Fault
from tests.servers.redis import Redis


class Flush(Fault):
    """`SCRIPT FLUSH`: what is called by its digest is not known any more."""

    name = "script flushes"

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        assert isinstance(scene.server, Redis)
        return await say(scene.server, "SCRIPT", "FLUSH") is not None
