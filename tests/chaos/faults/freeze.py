"""Workers stand still for longer than their leases last, and go on as if nothing had happened."""

from __future__ import annotations

import asyncio
import random

from tests.chaos._scene import Scene
from tests.chaos.faults.base import Fault
from tests.e2e._harness import WorkerProcess


class Freeze(Fault):
    """SIGSTOP for half a lease to three leases, then SIGCONT."""

    name = "freezes"

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        length = dice.uniform(0.5, 3.0) * scene.lease
        worker = scene.somebody(dice)
        if worker is None:
            return False
        scene.frozen.add(worker.pid)
        worker.pause()
        asyncio.get_running_loop().call_later(length, self._thaw, scene, worker)
        return True

    @staticmethod
    def _thaw(scene: Scene, worker: WorkerProcess) -> None:
        if worker.pid in scene.frozen:
            scene.frozen.discard(worker.pid)
            if worker.alive:
                worker.resume()

    async def mend(self, scene: Scene) -> None:
        for worker in scene.workers():
            self._thaw(scene, worker)
