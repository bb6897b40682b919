"""The server itself throws connections out."""

from __future__ import annotations

import random

import asyncpg
from tests.chaos._scene import Scene
from tests.chaos._words import say
from tests.chaos.faults.base import Fault
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis


class Terminate(Fault):
    """`pg_terminate_backend` on a third of the connections of PostgreSQL."""

    name = "connections ended"

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        assert isinstance(scene.server, Postgres)
        try:
            connection = await asyncpg.connect(scene.server.url, timeout=2)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False  # it is down right now
        try:
            question = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < 0.33"
            )
            return bool(await connection.fetchval(question))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        finally:
            connection.terminate()


class ClientKill(Fault):
    """`CLIENT KILL` on all connections of Redis that ask, or on those that listen."""

    name = "connections ended"

    async def strike(self, scene: Scene, dice: random.Random) -> bool:
        assert isinstance(scene.server, Redis)
        sort = "pubsub" if dice.random() < 0.3 else "normal"
        return bool(await say(scene.server, "CLIENT", "KILL", "TYPE", sort))
