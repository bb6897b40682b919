"""A word to a private Redis, from beside the campaign."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis as Client
from redis.exceptions import RedisError
from tests.servers.redis import Redis


async def say(server: Redis, *words: str) -> Any:
    """Send one command; gives the answer, or None when the server is down right now."""
    client = Client(port=server.port, socket_timeout=2, socket_connect_timeout=2)
    try:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]
    except (RedisError, OSError):
        return None
    finally:
        await client.aclose()
