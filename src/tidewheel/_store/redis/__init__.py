"""The Redis store: Redis 7 or Valkey 8 (or newer), alone, with sentinels or as a cluster, shared by workers on any number
of machines.
"""

from tidewheel._store.redis.store import RedisStore

__all__ = ["RedisStore"]
